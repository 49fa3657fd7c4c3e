// Records of the log, and the entries that stand for them at the leaves.

package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	headerSize   = 64
	entrySize    = 96
	entryVersion = 1
	typeOffset   = 44
	typePad      = 7
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
	size uint64
	data map[uint64][]byte
}

func readLog(directory string) (*segmentLog, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*.seg"))
	if err != nil {
		return nil, err
	}
	log := &segmentLog{data: map[uint64][]byte{}}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if len(data) < headerSize {
			return nil, fmt.Errorf("%s is cut short", path)
		}
		log.size = uint64(binary.LittleEndian.Uint32(data[12:]))
		log.data[binary.LittleEndian.Uint64(data[16:])] = data
	}
	if log.size == 0 {
		return nil, errors.New("there is no log")
	}
	return log, nil
}

// compare finds the record of an entry in the log.
func (log *segmentLog) compare(entry []byte) error {
	length := uint64(binary.LittleEndian.Uint32(entry))
	position := binary.LittleEndian.Uint64(entry[16:])
	if entry[typeOffset] == typePad {
		length = headerSize
	}
	data := log.data[position/log.size]
	offset := position % log.size
	if offset+length > uint64(len(data)) {
		return fmt.Errorf("record %d is missing from the log", sequenceOf(entry))
	}
	return fits(entry, data[offset:offset+length])
}
