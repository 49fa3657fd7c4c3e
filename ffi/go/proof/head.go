// Checkpoints: who signed them, and what they say.

package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Notes are read by a decoder that forgives stray bits; a proof has one form only.
var strict = base64.StdEncoding.Strict()

const cosignatureType = 4

// A cosigner is the public key of a witness (C2SP tlog-cosignature), a note.Verifier.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(message, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, message)
	return ed25519.Verify(c.key, []byte(signed), signature[8:])
}

// newVerifier reads a verifier key; of the types that note does not know, that of witnesses.
func newVerifier(text string) (note.Verifier, error) {
	name, rest, _ := strings.Cut(text, "+")
	id, encoded, _ := strings.Cut(rest, "+")
	key, err := strict.DecodeString(encoded)
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != cosignatureType {
		return note.NewVerifier(text)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	hash := binary.BigEndian.Uint32(sum[:])
	if id != fmt.Sprintf("%08x", hash) {
		return nil, errors.New("the id of a key does not fit it")
	}
	return &cosigner{name, hash, key[1:]}, nil
}

// A Checkpoint is what was signed.
type Checkpoint struct {
	// Origin is the name of the log.
	Origin string
	// Size is the number of records.
	Size int64
	// Root is the head of the tree over them.
	Root [tlog.HashSize]byte
}

// openCheckpoint accepts a checkpoint that all keys signed; signatures of others are passed over.
func openCheckpoint(text []byte, keys []string) (Checkpoint, error) {
	var verifiers []note.Verifier
	for _, key := range keys {
		verifier, err := newVerifier(key)
		if err != nil {
			return Checkpoint{}, err
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return Checkpoint{}, err
	}
	if len(opened.Sigs) != len(keys) {
		return Checkpoint{}, errors.New("not signed by all the keys that were named")
	}
	for _, signature := range opened.Sigs {
		if _, err := strict.DecodeString(signature.Base64); err != nil {
			return Checkpoint{}, err
		}
	}
	return parseHead(opened.Text)
}

func parseHead(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] == "" || lines[3] != "" {
		return Checkpoint{}, errors.New("a checkpoint has three lines")
	}
	size, err := parseNumber(lines[1])
	if err != nil {
		return Checkpoint{}, err
	}
	root, err := parseHash(lines[2])
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, err
}

func parseNumber(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, fmt.Errorf("not a plain number: %q", text)
	}
	return number, nil
}

func parseHash(text string) (tlog.Hash, error) {
	var hash tlog.Hash
	value, err := strict.DecodeString(text)
	if err != nil || len(value) != tlog.HashSize {
		return hash, fmt.Errorf("not a hash: %q", text)
	}
	copy(hash[:], value)
	return hash, nil
}
