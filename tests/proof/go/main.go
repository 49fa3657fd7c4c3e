// Checks proofs of hybridrt logs with the stock packages of the Go team, as any auditor could.
//
// Usage: verify-proof-go CASES   with one case a line, as JSON; prints one verdict a line, as JSON.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// A proofCase names what to check; paths are empty when there is nothing to check there.
type proofCase struct {
	ID        int      `json:"id"`
	Keys      []string `json:"keys"`      // all of them have to have signed
	Directory string   `json:"directory"` // of a proof: checked whole
	Log       string   `json:"log"`       // directory of the log that it proves
	Receipt   string   `json:"receipt"`   // file
	Record    string   `json:"record"`    // file: the record that the receipt is for
}

type verdict struct {
	ID       int    `json:"id"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason"`
}

func judge(c proofCase) error {
	if c.Receipt != "" {
		return checkReceipt(c)
	}
	return checkDirectory(c)
}

func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	output := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var c proofCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		answer := verdict{ID: c.ID, Accepted: true}
		if err := judge(c); err != nil {
			answer = verdict{ID: c.ID, Reason: err.Error()}
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verify-proof-go CASES")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "verify-proof-go:", err)
		os.Exit(1)
	}
}
