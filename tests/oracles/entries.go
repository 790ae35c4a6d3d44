// Lists the entries of tar archives with Go's own reader, the one of every engine. On stdin: each archive after its length in
// eight bytes, big endian. On stdout: a line of JSON for each.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"time"
)

type entry struct {
	Name, Link   string
	Flag         int
	Size         int64
	Seconds      int64
	Nanos        int
	Atime, Ctime *int64
}

type listing struct {
	Entries []entry
	Error   string
}

func list(data []byte) (found listing) {
	seconds := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		s := t.Unix()
		return &s
	}
	reader := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			found.Error = err.Error()
			return
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		found.Entries = append(found.Entries, entry{
			hex.EncodeToString([]byte(header.Name)), hex.EncodeToString([]byte(header.Linkname)), int(header.Typeflag),
			header.Size, header.ModTime.Unix(), header.ModTime.Nanosecond(), seconds(header.AccessTime), seconds(header.ChangeTime),
		})
	}
}

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var length uint64
		if binary.Read(in, binary.BigEndian, &length) != nil {
			return
		}
		data := make([]byte, length)
		if _, err := io.ReadFull(in, data); err != nil {
			panic(err)
		}
		if err := out.Encode(list(data)); err != nil {
			panic(err)
		}
	}
}
