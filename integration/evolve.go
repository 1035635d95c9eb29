package integration

// Evolve applies event e to s. It cannot fail: a fact is a fact. Facts about an integration that is not there are
// ignored, as after a restore of a log whose older part was compacted away.
func Evolve(s *State, e Event) {
	refused, isRefusal := e.Fact.(Refused)
	if e.Answers != nil && refused.Code != CodeUnproved {
		s.SetReceipt(receipt(e))
	}
	if isRefusal {
		return
	}
	if e.Account != "" {
		evolveAccount(s, e)
		return
	}
	if e.Integration == "" {
		evolveOrganization(s, e)
		return
	}
	switch fact := e.Fact.(type) {
	case Created:
		s.SetIntegration(Integration{
			ID: e.Integration, Organization: e.Organization, Environment: fact.Environment, Name: fact.Name,
			Config: fact.Config, ExternalID: fact.ExternalID, Version: e.Version,
			Mapping: Mapping{Status: MappingRequested}, Trust: Trust{Status: TrustUnknown},
			CreatedAt: e.Time, CreatedBy: fact.CreatedBy, UpdatedAt: e.Time,
		})
	case Deleted:
		s.RemoveIntegration(e.Integration)
	default:
		if i, ok := s.Integration(e.Integration); ok {
			i = i.evolve(e)
			i.Version, i.UpdatedAt = e.Version, e.Time
			s.SetIntegration(i)
		}
	}
}

func receipt(e Event) Receipt {
	r := Receipt{
		Organization: e.Organization, Source: e.Answers.Source, ID: e.Answers.ID, Digest: e.Answers.Digest,
		Integration: e.Integration, Account: e.Account, Version: e.Version, At: e.Time,
	}
	if refused, ok := e.Fact.(Refused); ok {
		r.Refusal = &refused.Refusal
	}
	return r
}

func evolveOrganization(s *State, e Event) {
	if fact, ok := e.Fact.(OrganizationCreated); ok {
		s.SetOrganization(Organization{
			ID: e.Organization, Version: e.Version, Quota: fact.IntegrationQuota, InsecureRoles: InsecureBlock,
			RoleBindings: []RoleBinding{{Principal: fact.Admin, Role: OrganizationAdmin}}, CreatedAt: e.Time,
		})
		return
	}
	o, ok := s.Organization()
	if !ok {
		return
	}
	switch fact := e.Fact.(type) {
	case OrganizationConfigured:
		o.Quota, o.InsecureRoles = fact.IntegrationQuota, fact.InsecureRoles
	case Bootstrapped:
		o.FirstKey = &fact.FirstKey
	case RoleBindingCreated:
		o = o.withoutRoleBinding(fact.RoleBinding).withRoleBinding(fact.RoleBinding)
	case RoleBindingDeleted:
		o = o.withoutRoleBinding(fact.RoleBinding)
	}
	o.Version = e.Version
	s.SetOrganization(o)
}

func evolveAccount(s *State, e Event) {
	if fact, ok := e.Fact.(AccountCreated); ok {
		s.SetAccount(Account{
			ID: e.Account, Organization: e.Organization, Kind: fact.Kind, Name: fact.Name, Description: fact.Description,
			Identities: fact.Identities, Version: e.Version, CreatedAt: e.Time, CreatedBy: fact.CreatedBy, UpdatedAt: e.Time,
		})
		return
	}
	a, ok := s.Account(e.Account)
	if !ok {
		return
	}
	switch fact := e.Fact.(type) {
	case AccountDeleted:
		s.RemoveAccount(e.Account)
		return
	case AccountUpdated:
		a.Name, a.Description, a.Identities = fact.Name, fact.Description, fact.Identities
	case KeyCreated:
		a = a.withKey(fact.Key, fact.apiKey(e.Time, fact.CreatedBy))
	case KeyDeleted:
		a = a.withoutKey(fact.Key)
	}
	a.Version, a.UpdatedAt = e.Version, e.Time
	s.SetAccount(a)
}

// evolve applies a fact about an integration that exists.
func (i Integration) evolve(e Event) Integration {
	switch fact := e.Fact.(type) {
	case Updated:
		if fact.Config == i.Config {
			break // said again to a client that lost the answer
		}
		// Another identity is trusted by another policy: what was known about the old one says nothing.
		i.Config = fact.Config
		i.Trust = Trust{Status: TrustUnknown, Attempt: i.Trust.Attempt, History: i.Trust.History}
		i.Epoch++
	case MappingAsked:
		i.Mapping.Attempt, i.Due = fact.Attempt, fact.Due
		if fact.Operation == EnsureMapping {
			i.Mapping.Status = MappingRequested
		}
	case Mapped:
		i.Mapping = Mapping{Status: MappingReady, Attempt: i.Mapping.Attempt, Platform: fact.Platform}
		i.Due = timeZero
	case MappingRefused:
		i.Mapping.Reason, i.Due = fact.Reason, fact.Due
		i.Mapping.Tries++
		if i.Mapping.Status != MappingRemoving {
			i.Mapping.Status = MappingFailed
		}
	case ValidationRequested:
		i.Trust.Again = i.Trust.Asked
	case TrustQuestioned:
		i.Trust.Again, i.Trust.QuestionedAt = i.Trust.Asked, e.Time
	case TrustAsked:
		i.Trust.Attempt, i.Trust.Asked, i.Trust.Again = fact.Attempt, true, false
		if i.Trust.Status == TrustUnknown {
			i.Trust.Status = TrustPending
		}
		i.Due = fact.Due
	case Validated:
		i.Trust = i.Trust.after(fact.Report, e.Time)
		i.Rotation = i.Rotation.after(fact.Report, e.Time)
		i.Due = fact.Due
	case TrustChanged:
		i.Trust.History = lastChanges(i.Trust.History, Change{At: e.Time, From: fact.From, To: fact.To})
	case Bound:
		b := Binding{Terms: fact.Terms, BoundAt: e.Time, BoundBy: fact.BoundBy}
		if fact.TokenClaim.given() {
			b.Tokens = []Token{fact.token(e.Time)}
		}
		i = i.withConnector(fact.Connector, b)
	case TokenRotated:
		i = i.withConnector(fact.Connector, i.Connectors[fact.Connector].withToken(fact.token(e.Time), fact.OthersExpireAt))
	case TokensExpired:
		i = i.withConnector(fact.Connector, i.Connectors[fact.Connector].withoutTokens(fact.Hashes))
	case Unbound:
		i = i.withoutConnector(fact.Connector)
	case SessionsRevoked:
		i.Epoch = fact.Epoch
	case RotationStarted:
		i.Rotation = &Rotation{
			Phase: RotationProving, Other: fact.Next, StartedAt: e.Time, StartedBy: fact.StartedBy, Since: e.Time,
		}
	case ExternalIDRotated:
		i = i.exchanged(RotationRetiring, e.Time)
	case ExternalIDRestored:
		i = i.exchanged(RotationProving, e.Time)
	case ExternalIDRetired, RotationAborted:
		i.Rotation = nil
	case DeletionStarted:
		i.Mapping.Status, i.Mapping.Tries, i.Mapping.Reason = MappingRemoving, 0, ""
		i.Connectors, i.Rotation = nil, nil
		i.Epoch++
	}
	return i
}

func lastChanges(history []Change, c Change) []Change {
	from := max(0, len(history)+1-maxHistory)
	return append(append(make([]Change, 0, maxHistory), history[from:]...), c)
}
