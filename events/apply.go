package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Drift is a difference between a topic and its [Definition].
type Drift struct {
	Topic, Setting, Have, Want string
}

func (d Drift) String() string {
	return fmt.Sprintf("%s: %s is %s, want %s", d.Topic, d.Setting, d.Have, d.Want)
}

// Applied says what [Apply] did and found.
type Applied struct {
	Created []string
	Drifts  []Drift
}

// Inspected says what [Inspect] found.
type Inspected struct {
	Missing []string
	Drifts  []Drift
}

// Inspect reports which topics are missing and where existing ones differ. It changes nothing. A replication factor of -1
// is not compared.
func Inspect(ctx context.Context, admin *kadm.Client, t Topics, replication int16) (Inspected, error) {
	missing, old, err := divide(ctx, admin, t)
	if err != nil {
		return Inspected{}, err
	}
	var seen Inspected
	for _, d := range missing {
		seen.Missing = append(seen.Missing, d.Name)
	}
	seen.Drifts, err = drifts(ctx, admin, old, replication)
	return seen, err
}

// divide tells topics that are missing from those that are there.
func divide(ctx context.Context, admin *kadm.Client, t Topics) (missing, old []Definition, err error) {
	if err := t.Check(); err != nil {
		return nil, nil, err
	}
	have, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list topics: %w", err)
	}
	for _, d := range t.Definitions() {
		if have.Has(d.Name) {
			old = append(old, d)
		} else {
			missing = append(missing, d)
		}
	}
	return missing, old, nil
}

// Apply creates the topics that are missing, with the given replication factor (-1 is the broker's default, which is not
// compared), and reports where existing ones differ. It changes no existing topic: settings may have been changed on purpose.
func Apply(ctx context.Context, admin *kadm.Client, t Topics, replication int16) (Applied, error) {
	var done Applied
	missing, old, err := divide(ctx, admin, t)
	if err != nil {
		return done, err
	}
	for _, d := range missing {
		configs := make(map[string]*string, len(d.Configs))
		for k, v := range d.Configs {
			configs[k] = &v
		}
		switch _, err := admin.CreateTopic(ctx, d.Partitions, replication, configs, d.Name); {
		case errors.Is(err, kerr.TopicAlreadyExists): // another process was faster
			old = append(old, d)
		case err != nil:
			return done, fmt.Errorf("create topic %s: %w", d.Name, err)
		default:
			done.Created = append(done.Created, d.Name)
		}
	}
	done.Drifts, err = drifts(ctx, admin, old, replication)
	return done, err
}

// knownWithin bounds the wait until every broker knows what was just made: moments, and longer when they are busy.
const knownWithin = 8 * time.Second

func drifts(ctx context.Context, admin *kadm.Client, defs []Definition, replication int16) ([]Drift, error) {
	if len(defs) == 0 {
		return nil, nil
	}
	names := make([]string, len(defs))
	for i, d := range defs {
		names[i] = d.Name
	}
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	// A topic that was just made is not known to every broker for a moment, and then seems to have no partitions.
	have, err := retried(ctx, func(ctx context.Context) (kadm.TopicDetails, error) {
		have, err := admin.ListTopics(ctx, names...)
		return have, errors.Join(err, have.Error())
	})
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	var found []Drift
	for _, d := range defs {
		if n := len(have[d.Name].Partitions); n != int(d.Partitions) {
			found = append(found, Drift{d.Name, "partitions", fmt.Sprint(n), fmt.Sprint(d.Partitions)})
		}
		if n := replicas(have[d.Name].Partitions, replication); replication > 0 && n != int(replication) {
			found = append(found, Drift{d.Name, "replication factor", fmt.Sprint(n), fmt.Sprint(replication)})
		}
		config, err := described.On(d.Name, nil)
		if err := errors.Join(err, config.Err); err != nil {
			return found, fmt.Errorf("describe topic %s: %w", d.Name, err)
		}
		for _, c := range config.Configs {
			if want, ok := d.Configs[c.Key]; ok && c.MaybeValue() != want {
				found = append(found, Drift{d.Name, c.Key, c.MaybeValue(), want})
			}
		}
	}
	slices.SortFunc(found, func(a, b Drift) int {
		return slices.Compare([]string{a.Topic, a.Setting}, []string{b.Topic, b.Setting})
	})
	return found, nil
}

// replicas is the replication factor of partitions; where they differ, one that is not the wanted one.
func replicas(partitions kadm.PartitionDetails, want int16) (n int) {
	for _, p := range partitions {
		if n = len(p.Replicas); n != int(want) {
			break
		}
	}
	return n
}
