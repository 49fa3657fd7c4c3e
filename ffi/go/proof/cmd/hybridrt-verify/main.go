// Command hybridrt-verify checks what a hybridrt log has signed, offline.
//
//	hybridrt-verify -key VKEY [-log DIR] DIRECTORY     a whole proof; with its log at rest
//	hybridrt-verify -key VKEY [-record FILE] RECEIPT   the receipt of a record; with the record
//	hybridrt-verify -cases FILE                        many, one a line as JSON; a verdict for each
//
// Name -key several times if several have to have signed. Exit status: 0 all of it holds, 1 it does
// not, 2 wrong usage.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"hybridrt.dev/go/proof"
)

// A request says what to check; what is empty is not.
type request struct {
	ID        int      `json:"id"`
	Keys      []string `json:"keys"`
	Directory string   `json:"directory"`
	Log       string   `json:"log"`
	Receipt   string   `json:"receipt"`
	Record    string   `json:"record"`
}

type verdict struct {
	ID       int    `json:"id"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

func (r request) check() (proof.Audit, error) {
	if r.Receipt == "" {
		return proof.VerifyDirectory(r.Directory, r.Log, r.Keys)
	}
	text, err := os.ReadFile(r.Receipt)
	if err != nil {
		return proof.Audit{}, err
	}
	var record []byte
	if r.Record != "" {
		if record, err = os.ReadFile(r.Record); err != nil {
			return proof.Audit{}, err
		}
	}
	signed, err := proof.VerifyReceipt(text, record, r.Keys)
	return proof.Audit{Checkpoint: signed}, err
}

func judgeAll(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	output := json.NewEncoder(os.Stdout)
	decoder := json.NewDecoder(bufio.NewReader(file))
	for {
		var r request
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer := verdict{ID: r.ID, Accepted: true}
		if _, err := r.check(); err != nil {
			answer = verdict{ID: r.ID, Reason: err.Error()}
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
}

func judgeOne(r request, place string) error {
	about, err := os.Stat(place)
	if err != nil {
		return err
	}
	if about.IsDir() {
		r.Directory = place
	} else {
		r.Receipt = place
	}
	if (about.IsDir() && r.Record != "") || (!about.IsDir() && r.Log != "") {
		return errors.New("-log goes with a directory, -record with a receipt")
	}
	signed, err := r.check()
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	root := base64.StdEncoding.EncodeToString(signed.Root[:])
	fmt.Printf("ok: %s, %d records%s, root %s\n", signed.Origin, signed.Size, without(signed), root)
	return nil
}

// without says which records nobody could look at.
func without(found proof.Audit) string {
	var text string
	if found.Gone > 0 {
		text += fmt.Sprintf(", %d of them no longer in the log", found.Gone)
	}
	if found.Lost > 0 {
		text += fmt.Sprintf(", %d lost before they were signed", found.Lost)
	}
	return text
}

func main() {
	var r request
	flag.Func("key", "verifier key that has to have signed", func(text string) error {
		r.Keys = append(r.Keys, strings.TrimSpace(text))
		return nil
	})
	flag.StringVar(&r.Log, "log", "", "directory of a log at rest")
	flag.StringVar(&r.Record, "record", "", "file of the record that a receipt is for")
	cases := flag.String("cases", "", "file of cases")
	flag.Parse()
	var err error
	switch {
	case *cases != "" && flag.NArg() == 0:
		err = judgeAll(*cases)
	case *cases == "" && flag.NArg() == 1 && len(r.Keys) > 0:
		err = judgeOne(r, flag.Arg(0))
	default:
		fmt.Fprintln(os.Stderr, "usage: hybridrt-verify -key VKEY [-log DIR | -record FILE] PLACE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hybridrt-verify:", err)
		os.Exit(1)
	}
}
