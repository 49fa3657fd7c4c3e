// Records of the log, and the entries that stand for them at the leaves.

package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

const (
	headerSize   = 64
	entrySize    = 96
	entryVersion = 1
	typeOffset   = 44
	typeLost     = 0 // of an entry whose record was lost before it could be read
	typePad      = 7
	spare        = math.MaxUint64 // number of a segment file that is not in use
)

// entryOf is what stands at a leaf: the record's header, the version in place of its checksum, and
// the record's digest. Of a PAD only the header counts.
func entryOf(record []byte) ([]byte, error) {
	if len(record) < headerSize {
		return nil, errors.New("a record is shorter than its header")
	}
	if record[typeOffset] == typePad {
		record = record[:headerSize]
	}
	digest := sha256.Sum256(record)
	entry := append(bytes.Clone(record[:headerSize]), digest[:]...)
	binary.LittleEndian.PutUint32(entry[4:], entryVersion)
	return entry, nil
}

func checkEntry(entry []byte) error {
	if len(entry) != entrySize || binary.LittleEndian.Uint32(entry[4:]) != entryVersion {
		return errors.New("an entry is of an unknown layout")
	}
	return nil
}

func fits(entry, record []byte) error {
	wanted, err := entryOf(record)
	if err != nil {
		return err
	}
	if !bytes.Equal(wanted, entry) {
		return fmt.Errorf("record %d is not the one that was signed", sequenceOf(entry))
	}
	return nil
}

func sequenceOf(entry []byte) uint64 { return binary.LittleEndian.Uint64(entry[8:]) }

// A segmentLog has the bytes of the segment files of a log at rest, by their number.
type segmentLog struct {
	size   uint64
	oldest uint64
	data   map[uint64][]byte
}

func readLog(directory string) (*segmentLog, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*.seg"))
	if err != nil {
		return nil, err
	}
	log := &segmentLog{oldest: spare, data: map[uint64][]byte{}}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if len(data) < headerSize {
			continue // not begun
		}
		if number := binary.LittleEndian.Uint64(data[16:]); number != spare {
			log.size = uint64(binary.LittleEndian.Uint32(data[12:]))
			log.oldest = min(log.oldest, number)
			log.data[number] = data
		}
	}
	if log.size == 0 {
		return nil, errors.New("there is no log")
	}
	return log, nil
}

// compare finds the record of an entry in the log; false: its segment was used again since.
func (log *segmentLog) compare(entry []byte) (bool, error) {
	length := uint64(binary.LittleEndian.Uint32(entry))
	position := binary.LittleEndian.Uint64(entry[16:])
	if entry[typeOffset] == typePad {
		length = headerSize
	}
	number := position / log.size
	if number < log.oldest {
		return false, nil
	}
	data := log.data[number]
	offset := position % log.size
	if offset+length > uint64(len(data)) {
		return false, fmt.Errorf("record %d is missing from the log", sequenceOf(entry))
	}
	return true, fits(entry, data[offset:offset+length])
}
