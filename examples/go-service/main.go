// Harbour tells over HTTP which berths are free.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"

	"example.org/harbour/internal/berths"
	"github.com/spf13/pflag"
)

// What the linker writes here: see the Dockerfile.
var (
	version = "unknown"
	built   = "unknown"
)

func main() {
	config := pflag.String("config", "/etc/harbour.yaml", "the list of berths")
	address := pflag.String("address", ":8080", "where to listen")
	tell := pflag.Bool("version", false, "print the version")
	pflag.Parse()
	if *tell {
		fmt.Printf("harbour %s, built %s\n", version, built)
		return
	}
	file, err := os.Open(*config)
	if err != nil {
		log.Fatal(err)
	}
	list, err := berths.Read(file)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/free", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(berths.Free(list))
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}
