// Package proof checks what a hybridrt log has signed: a whole published proof, or the receipt of a
// single record. It reads the formats of C2SP with the packages of the Go team and needs neither
// the C library nor a running supervisor; the module is apart so that workers do not depend on
// them. The command cmd/hybridrt-verify does the same from a shell.
package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// tilePath names a tile as C2SP tlog-tiles does: tlog puts the height in front of the level.
func tilePath(tile tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
}

func bundlePath(tile tlog.Tile) string {
	return strings.Replace(tilePath(tile), "tile/0/", "tile/entries/", 1)
}

// A hashes keeps all hashes of a tree in the order in which tlog stores them.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		if index >= int64(len(h)) {
			return nil, errors.New("the tree is too small")
		}
		found = append(found, h[index])
	}
	return found, nil
}

// VerifyDirectory checks a whole proof: the tree is built anew from the entries and compared with
// all that was published in directory. With log, the directory of a log at rest, every record that
// it still has is compared with its entry too; "" leaves that out. Every one of keys has to have
// signed.
func VerifyDirectory(directory, log string, keys []string) (Audit, error) {
	text, err := os.ReadFile(filepath.Join(directory, "checkpoint"))
	if err != nil {
		return Audit{}, err
	}
	signed, err := openCheckpoint(text, keys)
	if err != nil {
		return Audit{}, err
	}
	tiles := tlog.NewTiles(tileHeight, 0, signed.Size)
	entries, err := readEntries(directory, tiles)
	if err != nil {
		return Audit{}, err
	}
	found, err := compareLog(log, entries)
	if err != nil {
		return Audit{}, err
	}
	tree, err := grow(entries)
	if err != nil {
		return Audit{}, err
	}
	root, err := tlog.TreeHash(int64(len(entries)), tree)
	if err != nil || int64(len(entries)) != signed.Size || root != signed.Root {
		return Audit{}, errors.New("the entries do not lead to the root of the checkpoint")
	}
	found.Checkpoint = signed
	return found, compareTiles(directory, tiles, tree)
}

// An Audit is what a whole proof comes to. Size counts the records that are Lost and Gone too.
type Audit struct {
	Checkpoint
	Lost int64 // records that were lost before they could be read; their leaves say so
	Gone int64 // records whose segment is not in the log any more; 0 without a log
}

func grow(entries [][]byte) (hashes, error) {
	var tree hashes
	for index, entry := range entries {
		more, err := tlog.StoredHashes(int64(index), entry, tree)
		if err != nil {
			return nil, err
		}
		tree = append(tree, more...)
	}
	return tree, nil
}

func readEntries(directory string, tiles []tlog.Tile) ([][]byte, error) {
	var entries [][]byte
	for _, tile := range tiles {
		if tile.L > 0 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(directory, bundlePath(tile)))
		if err != nil {
			return nil, err
		}
		for len(data) > 0 {
			if len(data) < 2+entrySize || binary.BigEndian.Uint16(data) != entrySize {
				return nil, errors.New("a bundle of entries is malformed")
			}
			entry := data[2 : 2+entrySize]
			if err := checkEntry(entry); err != nil {
				return nil, err
			}
			if n := len(entries); n > 0 && sequenceOf(entry) != sequenceOf(entries[n-1])+1 {
				return nil, fmt.Errorf("record %d does not follow", sequenceOf(entry))
			}
			entries = append(entries, entry)
			data = data[2+entrySize:]
		}
	}
	return entries, nil
}

func compareLog(directory string, entries [][]byte) (Audit, error) {
	var found Audit
	var log *segmentLog
	if directory != "" {
		var err error
		if log, err = readLog(directory); err != nil {
			return found, err
		}
	}
	for _, entry := range entries {
		if entry[typeOffset] == typeLost {
			found.Lost++
		} else if log != nil {
			there, err := log.compare(entry)
			if err != nil {
				return found, err
			}
			if !there {
				found.Gone++
			}
		}
	}
	return found, nil
}

func compareTiles(directory string, tiles []tlog.Tile, tree hashes) error {
	for _, tile := range tiles {
		wanted, err := tlog.ReadTileData(tile, tree)
		if err != nil {
			return err
		}
		found, err := os.ReadFile(filepath.Join(directory, tilePath(tile)))
		if err != nil {
			return err
		}
		if !bytes.Equal(found, wanted) {
			return fmt.Errorf("%s is not the tile of this tree", tilePath(tile))
		}
	}
	return nil
}
