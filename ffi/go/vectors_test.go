package hybridrt

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"testing"
)

const (
	vectorsPath    = "../../tests/vectors/records.json"
	recordSize     = 64 // bytes of hrt_record
	crcBegins      = 8  // length and crc itself come before
	recordTypePad  = 7
	recordTypeKeep = 9
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordHeader is hrt_record, field by field.
type recordHeader struct {
	Length, CRC                         uint32
	Sequence, Position, Durable, TimeNS uint64
	Epoch                               uint32
	Type, Flags                         uint8
	Kind, Queue, Reserved               uint16
	Count                               uint32
	KeyHash                             uint64
}

// isValid decides as docs/layout.md says, with nothing but the standard library.
func isValid(bytes, uuid []byte, position uint64) bool {
	var head recordHeader
	if _, err := binary.Decode(bytes, binary.LittleEndian, &head); err != nil {
		return false
	}
	end := uint64(head.Length)
	switch {
	case head.Position != position || end < recordSize:
		return false
	case head.Type == recordTypePad: // its body is not covered
		if head.KeyHash != end {
			return false
		}
		end = recordSize
	case end > uint64(len(bytes)):
		return false
	}
	origin := binary.LittleEndian.AppendUint64(append([]byte(nil), uuid...), position)
	seed := crc32.Checksum(origin, castagnoli)
	return crc32.Update(seed, castagnoli, bytes[crcBegins:end]) == head.CRC
}

type vectors struct {
	Position uint64 `json:"position"`
	UUID     string `json:"uuid"`
	CRC32C   []struct {
		Text string `json:"text"`
		CRC  uint32 `json:"crc"`
	} `json:"crc32c"`
	Records []struct {
		Name  string `json:"name"`
		Valid bool   `json:"valid"`
		Bytes string `json:"bytes"`
	} `json:"records"`
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	bytes, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// Goal: records of every type, good and spoiled, get the verdict that the C library gives them.
func TestRecordsGetTheVerdictOfTheVectors(t *testing.T) {
	var file vectors
	if err := json.Unmarshal([]byte(golden(t, vectorsPath)), &file); err != nil {
		t.Fatal(err)
	}
	for _, known := range file.CRC32C {
		if crc := crc32.Checksum([]byte(known.Text), castagnoli); crc != known.CRC {
			t.Errorf("CRC32C of %q is %d, want %d", known.Text, crc, known.CRC)
		}
	}
	uuid := unhex(t, file.UUID)
	types := map[uint8]bool{}
	for _, record := range file.Records {
		bytes := unhex(t, record.Bytes)
		if valid := isValid(bytes, uuid, file.Position); valid != record.Valid {
			t.Errorf("%s: valid %v, want %v", record.Name, valid, record.Valid)
		}
		types[bytes[44]] = true
	}
	for kind := uint8(1); kind <= recordTypeKeep; kind++ {
		if !types[kind] {
			t.Errorf("no vector has a record of type %d", kind)
		}
	}
}

// Goal: the header above lies as abi.h says.
func TestRecordHeaderHasItsSize(t *testing.T) {
	if size := binary.Size(recordHeader{}); size != recordSize ||
		uintptr(size) != abiTypes()["hrt_record"].Size() {
		t.Errorf("%d bytes", size)
	}
}
