// Receipts: C2SP tlog-proof files.

package proof

import (
	"errors"
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

// VerifyReceipt checks the text of a receipt offline: that its entry is in the tree of the
// checkpoint in it, which every one of keys has to have signed. With record, the bytes of the
// record itself, these have to be the ones that were signed; nil leaves that out.
func VerifyReceipt(text, record []byte, keys []string) (Checkpoint, error) {
	r, err := parseReceipt(string(text))
	if err != nil {
		return Checkpoint{}, err
	}
	signed, err := openCheckpoint([]byte(r.checkpoint), keys)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := checkEntry(r.entry); err != nil {
		return Checkpoint{}, err
	}
	leaf := tlog.RecordHash(r.entry)
	if err := tlog.CheckRecord(r.proof, signed.Size, signed.Root, r.index, leaf); err != nil {
		return Checkpoint{}, err
	}
	if record == nil {
		return signed, nil
	}
	return signed, fits(r.entry, record)
}
