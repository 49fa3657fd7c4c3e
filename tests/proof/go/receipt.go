// Receipts: C2SP tlog-proof files.

package main

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A receipt has the parts of a C2SP tlog-proof.
type receipt struct {
	entry      []byte
	index      int64
	proof      tlog.RecordProof
	checkpoint string
}

func parseReceipt(text string) (receipt, error) {
	var r receipt
	before, checkpoint, found := strings.Cut(text, "\n\n")
	lines := strings.Split(before, "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return r, errors.New("not a receipt")
	}
	extra, hasExtra := strings.CutPrefix(lines[1], "extra ")
	index, hasIndex := strings.CutPrefix(lines[2], "index ")
	if !hasExtra || !hasIndex {
		return r, errors.New("a line is missing from the receipt")
	}
	var err error
	if r.entry, err = strict.DecodeString(extra); err != nil {
		return r, err
	}
	if r.index, err = parseNumber(index); err != nil {
		return r, err
	}
	for _, line := range lines[3:] {
		hash, err := parseHash(line)
		if err != nil {
			return r, err
		}
		r.proof = append(r.proof, hash)
	}
	r.checkpoint = checkpoint
	return r, nil
}

func checkReceipt(c proofCase) error {
	text, err := os.ReadFile(c.Receipt)
	if err != nil {
		return err
	}
	r, err := parseReceipt(string(text))
	if err != nil {
		return err
	}
	signed, err := openCheckpoint([]byte(r.checkpoint), c.Keys)
	if err != nil {
		return err
	}
	if err := checkEntry(r.entry); err != nil {
		return err
	}
	leaf := tlog.RecordHash(r.entry)
	if err := tlog.CheckRecord(r.proof, signed.N, signed.Hash, r.index, leaf); err != nil {
		return err
	}
	if c.Record == "" {
		return nil
	}
	record, err := os.ReadFile(c.Record)
	if err != nil {
		return err
	}
	return fits(r.entry, record)
}
