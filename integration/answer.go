package integration

// answered lists, for each type of command, the facts of which one is its answer when it is carried out; no is always a
// [Refused]. More events may follow the answer, without naming the command.
var answered = map[string][]Fact{
	CreateOrganization{}.Type(): {OrganizationCreated{}},
	// What is there already is not made again, so that the first thing made differs.
	Bootstrap{}.Type():             {OrganizationCreated{}, RoleBindingCreated{}, AccountCreated{}, KeyDeleted{}, KeyCreated{}},
	ConfigureOrganization{}.Type(): {OrganizationConfigured{}},
	CreateRoleBinding{}.Type():     {RoleBindingCreated{}},
	DeleteRoleBinding{}.Type():     {RoleBindingDeleted{}},
	CreateAccount{}.Type():         {AccountCreated{}},
	UpdateAccount{}.Type():         {AccountUpdated{}},
	DeleteAccount{}.Type():         {AccountDeleted{}},
	CreateKey{}.Type():             {KeyCreated{}},
	DeleteKey{}.Type():             {KeyDeleted{}},
	Create{}.Type():                {Created{}},
	Update{}.Type():                {Updated{}},
	Validate{}.Type():              {ValidationRequested{}},
	RevokeSessions{}.Type():        {SessionsRevoked{}},
	RotateExternalID{}.Type():      {RotationStarted{}},
	AbortRotation{}.Type():         {RotationAborted{}},
	Delete{}.Type():                {DeletionStarted{}},
	Bind{}.Type():                  {Bound{}},
	RotateToken{}.Type():           {TokenRotated{}},
	Unbind{}.Type():                {Unbound{}},
}

// Answers lists a zero value of each fact that may answer a command of this kind which is carried out. None of them is
// [Refused], which may answer every command.
func Answers(a Ask) []Fact { return answered[a.Type()] }
