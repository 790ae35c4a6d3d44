// What `docker buildx build` and `podman run` understand of an argument vector: each line of stdin is a JSON array of
// words in base64, the first of them the tool; each line of stdout says what arrived, or why it was refused.
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/docker/buildx/util/buildflags"
	"github.com/docker/buildx/util/platformutil"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/spf13/pflag"
)

type answer struct {
	// Pairs of a name and a value, in base64.
	Values [][2][]byte `json:"values"`
	Error  string      `json:"error"`
}

func (a *answer) add(name, value string) {
	a.Values = append(a.Values, [2][]byte{[]byte(name), []byte(value)})
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var words [][]byte
		if in.Decode(&words) != nil || len(words) == 0 {
			return
		}
		args := make([]string, len(words))
		for i, word := range words {
			args[i] = string(word)
		}
		var got answer
		parse := podman
		if args[0] == "docker" {
			parse = buildx
		}
		if err := parse(&got, args[1:]); err != nil {
			got = answer{Error: err.Error()}
		}
		if out.Encode(got) != nil {
			return
		}
	}
}

// The kinds of the flags are those of buildx's commands/build.go, and what becomes of their values is what its toOptions does.
func buildx(got *answer, args []string) error {
	flags := pflag.NewFlagSet("build", pflag.ContinueOnError)
	array := func(name string) *[]string { return flags.StringArray(name, nil, "") }
	annotations, buildArgs, labels, outputs := array("annotation"), array("build-arg"), array("label"), array("output")
	platforms, secrets, tags := array("platform"), array("secret"), array("tag")
	texts := map[string]*string{}
	for _, name := range []string{"builder", "file", "metadata-file", "progress", "provenance", "sbom", "target"} {
		texts[name] = flags.String(name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	for name, value := range texts {
		got.add(name, *value)
	}
	for _, word := range flags.Args() {
		got.add("", word)
	}
	for _, pair := range []struct {
		name   string
		values []string
	}{{"build-arg", *buildArgs}, {"label", *labels}} {
		for _, value := range pair.values {
			key, value, _ := strings.Cut(value, "=")
			if key == "" {
				return errors.New("empty key")
			}
			got.add(pair.name+":"+key, value)
		}
	}
	parsed, err := buildflags.ParseAnnotations(*annotations)
	if err != nil {
		return err
	}
	for key, value := range parsed {
		if err := annotation(got, key.String(), value); err != nil {
			return err
		}
	}
	if _, err := platformutil.Parse(*platforms); err != nil {
		return err
	}
	got.add("platform", strings.Join(*platforms, " "))
	specs, err := buildflags.ParseSecretSpecs(*secrets)
	if err != nil {
		return err
	}
	for _, secret := range specs {
		if secret.Env != "" {
			got.add("secret:"+secret.ID, os.Getenv(secret.Env))
			continue
		}
		value, err := os.ReadFile(secret.FilePath)
		if err != nil {
			return err
		}
		got.add("secret:"+secret.ID, string(value))
	}
	for _, tag := range *tags {
		got.add("tag", tag)
	}
	exports, err := buildflags.ParseExports(*outputs)
	if err != nil {
		return err
	}
	for _, export := range exports {
		got.add("output", export.Type+" "+export.Destination)
		for key, value := range export.Attrs {
			got.add("output:"+key, value)
		}
	}
	return nil
}

// As BuildKit itself reads the name of an exporter's option.
func annotation(got *answer, name, value string) error {
	key, ok, err := exptypes.ParseAnnotationKey(name)
	if err != nil || !ok {
		return errors.Join(errors.New("no annotation: "+name), err)
	}
	kind := key.Type
	if kind == "" {
		kind = exptypes.AnnotationManifest
	}
	got.add("annotation:"+kind+" "+key.PlatformString()+" "+key.Key, value)
	return nil
}

// The flags that repro gives to `podman run`, of the kinds that Podman has for them; it reads a mount with encoding/csv.
func podman(got *answer, args []string) error {
	if len(args) == 0 || args[0] != "run" {
		return errors.New("not podman run")
	}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	flags.SetInterspersed(false)
	for _, name := range []string{"rm", "privileged", "http-proxy"} {
		flags.Bool(name, false, "")
	}
	for _, name := range []string{"entrypoint", "log-driver", "name", "network", "pull", "userns"} {
		flags.String(name, "", "")
	}
	flags.StringArray("security-opt", nil, "")
	labels, mounts := flags.StringArray("label", nil, ""), flags.StringArray("mount", nil, "")
	variables := flags.StringArray("env", nil, "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	for _, word := range flags.Args() {
		got.add("", word)
	}
	for _, label := range *labels {
		key, value, _ := strings.Cut(label, "=")
		got.add("label:"+key, value)
	}
	for _, name := range *variables {
		got.add("env", name)
	}
	for _, mount := range *mounts {
		records, err := csv.NewReader(strings.NewReader(mount)).ReadAll()
		if err != nil {
			return err
		}
		if len(records) != 1 {
			return errors.New("not one record")
		}
		fields := map[string]string{}
		for _, field := range records[0] {
			key, value, _ := strings.Cut(field, "=")
			fields[key] = value
		}
		got.add("mount:"+fields["dst"], fields["src"])
	}
	return nil
}
