package deploy_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// compose is what the tests read of docker-compose.yml.
type compose struct {
	Services map[string]service
	Volumes  map[string]any
}

type service struct {
	Image       string
	Build       *struct{ Context, Dockerfile, Target string }
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Command     []string
	Environment map[string]string
	Volumes     []string
	Ports       []string
	DependsOn   dependencies `yaml:"depends_on"`
	StopGrace   string       `yaml:"stop_grace_period"`
	Healthcheck struct {
		Test    []string
		Disable bool
	}
}

// dependencies are written as a list, or as a map with conditions.
type dependencies map[string]string

// UnmarshalYAML reads both shapes.
func (d *dependencies) UnmarshalYAML(node *yaml.Node) error {
	*d = dependencies{}
	var list []string
	if node.Decode(&list) == nil {
		for _, name := range list {
			(*d)[name] = "service_started"
		}
		return nil
	}
	var conditions map[string]struct{ Condition string }
	if err := node.Decode(&conditions); err != nil {
		return err
	}
	for name, c := range conditions {
		(*d)[name] = c.Condition
	}
	return nil
}

func readCompose(t *testing.T) (c compose) {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// roles are those that `rolebridge serve` knows.
var roles = []string{"api", "broker", "lifecycle", "mapping", "trust"}

func TestEveryRoleIsAContainerWithoutRights(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if s.Build == nil {
			continue
		}
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: user %s, read_only %t, cap_drop %v, security_opt %v", name, s.User, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
	}
	for _, role := range roles {
		s := c.Services[role]
		if want := []string{"serve", "--roles", role, "--config", "/etc/rolebridge.yaml"}; !slices.Equal(s.Command, want) {
			t.Errorf("%s runs %v, want %v", role, s.Command, want)
		}
		if want := []string{"CMD", "/rolebridge", "healthcheck"}; len(s.Healthcheck.Test) < 3 || !slices.Equal(s.Healthcheck.Test[:3], want) {
			t.Errorf("%s is checked with %v, want %v", role, s.Healthcheck.Test, want)
		}
		if s.DependsOn["topics"] != "service_completed_successfully" {
			t.Errorf("%s does not wait for the topics: %v", role, s.DependsOn)
		}
	}
}

func TestEveryRoleMayTakeAsLongToStopAsItIsSetTo(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docker/rolebridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		NotReadyFor time.Duration `yaml:"not_ready_for"`
		StopWithin  time.Duration `yaml:"stop_within"`
	}
	if err := yaml.Unmarshal(text, &set); err != nil || set.NotReadyFor == 0 || set.StopWithin == 0 {
		t.Fatalf("the settings: %+v, %v", set, err)
	}
	want := set.NotReadyFor + set.StopWithin + 3*time.Second
	for _, role := range roles {
		if got, err := time.ParseDuration(readCompose(t).Services[role].StopGrace); err != nil || got <= want {
			t.Errorf("%s is killed after %v, %v; a stop may take %s", role, got, err, want)
		}
	}
}

func TestTheComposeFileNamesOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	pinned := regexp.MustCompile(`^[a-z0-9/-]+:[a-z0-9][a-z0-9.-]*$`)
	dockerfile, err := os.ReadFile("docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range c.Services {
		if !pinned.MatchString(s.Image) || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q has no pinned version", name, s.Image)
		}
		if b := s.Build; b != nil && (b.Dockerfile != "deploy/docker/Dockerfile" || !strings.Contains(string(dockerfile), " AS "+b.Target+"\n")) {
			t.Errorf("%s: builds %+v, which the Dockerfile does not have", name, *b)
		}
		for on, condition := range s.DependsOn {
			other, ok := c.Services[on]
			if !ok || condition == "service_healthy" && len(other.Healthcheck.Test) == 0 {
				t.Errorf("%s waits for %s to be %s, which it never is", name, on, condition)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if path, local := strings.CutPrefix(from, "./"); local {
				if _, err := os.Stat("../" + path); err != nil {
					t.Errorf("%s: volume %s: %v", name, v, err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, p)
			}
		}
	}
}

// docker-compose is no part of what the tests install; where it is there, it has to agree.
func TestDockerComposeReadsTheFile(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("docker-compose")
	if err != nil {
		t.Log("no docker-compose here: the file was read by our own parser only")
		return
	}
	out, err := exec.CommandContext(t.Context(), path, "--file", "../docker-compose.yml", "config", "--quiet").CombinedOutput()
	if err != nil {
		t.Errorf("docker-compose config: %v\n%s", err, out)
	}
}
