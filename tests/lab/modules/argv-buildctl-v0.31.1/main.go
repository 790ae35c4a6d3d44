// What `buildctl build` of this version understands of an argument vector: each line of stdin is a JSON array of words in
// base64; each line of stdout says what arrived, or why it was refused.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session/secrets"
	"github.com/tonistiigi/go-csvvalue"
	"github.com/urfave/cli/v3"
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
		if err := buildctl(&got, args); err != nil {
			got = answer{Error: err.Error()}
		}
		if out.Encode(got) != nil {
			return
		}
	}
}

// The names and kinds of the flags are those of buildctl's build.go, and like its main.go this splits no value at commas.
func buildctl(got *answer, args []string) error {
	command := &cli.Command{Name: "build", DisableSliceFlagSeparator: true}
	for _, name := range []string{"local", "opt", "output", "secret"} {
		command.Flags = append(command.Flags, &cli.StringSliceFlag{Name: name})
	}
	for _, name := range []string{"frontend", "metadata-file", "progress", "ref-file"} {
		command.Flags = append(command.Flags, &cli.StringFlag{Name: name})
	}
	command.Action = func(_ context.Context, parsed *cli.Command) error {
		got.add("addr", parsed.Root().String("addr"))
		if parsed.Args().Len() > 0 {
			return errors.New("a word is left over: " + parsed.Args().First())
		}
		return understand(got, parsed.StringSlice, parsed.String)
	}
	app := &cli.Command{
		Name: "buildctl", DisableSliceFlagSeparator: true, Writer: os.Stderr, ErrWriter: os.Stderr,
		Flags: []cli.Flag{&cli.StringFlag{Name: "addr"}}, Commands: []*cli.Command{command},
	}
	return app.Run(context.Background(), args)
}

// What buildctl does with the values of its flags before it sends them.
func understand(got *answer, slice func(string) []string, text func(string) string) error {
	for _, name := range []string{"frontend", "metadata-file", "progress", "ref-file"} {
		got.add(name, text(name))
	}
	locals, err := build.ParseLocal(slice("local"))
	if err != nil {
		return err
	}
	for name, place := range locals {
		// The directory has a file that says which it is.
		file, err := place.Open("marker")
		if err != nil {
			return err
		}
		marker, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
		got.add("local:"+name, string(marker))
	}
	options, err := build.ParseOpt(slice("opt"))
	if err != nil {
		return err
	}
	for name, value := range options {
		got.add(name, value)
	}
	exports, err := build.ParseOutput(slice("output"))
	if err != nil {
		return err
	}
	for _, export := range exports {
		got.add("output", export.Type)
		for name, value := range export.Attrs {
			if !strings.HasPrefix(name, "annotation") {
				got.add("output:"+name, value)
			} else if err := annotation(got, name, value); err != nil {
				return err
			}
		}
	}
	attachable, err := build.ParseSecret(slice("secret"))
	if err != nil {
		return err
	}
	provider, ok := attachable.(secrets.SecretsServer)
	if !ok {
		return errors.New("secrets cannot be asked for")
	}
	for _, word := range slice("secret") {
		fields, err := csvvalue.Fields(word, nil)
		if err != nil {
			return err
		}
		id := strings.TrimPrefix(fields[0], "id=")
		secret, err := provider.GetSecret(context.Background(), &secrets.GetSecretRequest{ID: id})
		if err != nil {
			return err
		}
		got.add("secret:"+id, string(secret.Data))
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
