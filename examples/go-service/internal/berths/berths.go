// Package berths reads a list of berths.
package berths

import (
	"io"

	"gopkg.in/yaml.v3"
)

// A Berth is a place for a ship.
type Berth struct {
	Name string `yaml:"name" json:"name"`
	Ship string `yaml:"ship" json:"ship,omitempty"`
}

// Read reads the list.
func Read(from io.Reader) ([]Berth, error) {
	var list []Berth
	err := yaml.NewDecoder(from).Decode(&list)
	return list, err
}

// Free gives the berths without a ship.
func Free(list []Berth) []Berth {
	free := []Berth{}
	for _, berth := range list {
		if berth.Ship == "" {
			free = append(free, berth)
		}
	}
	return free
}
