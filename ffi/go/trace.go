// W3C trace context, as jobs carry it.

package hybridrt

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// TraceContext is the W3C trace context of a job: which trace its producer belonged to.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte // bit 0: sampled
	Version byte
}

const traceParts = 4 // of a traceparent header

// ParseTrace reads a traceparent header such as
// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".
func ParseTrace(header string) (TraceContext, error) {
	var trace TraceContext
	parts := strings.Split(header, "-")
	if len(parts) < traceParts {
		return trace, fmt.Errorf("%w: traceparent %q has no four parts", ErrName, header)
	}
	var version, flags [1]byte
	for i, place := range [][]byte{version[:], trace.TraceID[:], trace.SpanID[:], flags[:]} {
		if hex.DecodedLen(len(parts[i])) != len(place) || len(parts[i])%2 != 0 {
			return TraceContext{}, fmt.Errorf("%w: traceparent %q: part %d has a wrong length",
				ErrName, header, i+1)
		}
		if _, err := hex.Decode(place, []byte(parts[i])); err != nil {
			return TraceContext{}, fmt.Errorf("%w: traceparent %q: %w", ErrName, header, err)
		}
	}
	trace.Version, trace.Flags = version[0], flags[0]
	return trace, nil
}

// String returns the traceparent header.
func (t TraceContext) String() string {
	return fmt.Sprintf("%02x-%x-%x-%02x", t.Version, t.TraceID, t.SpanID, t.Flags)
}

// encode lays the context out as abi.h says: version, trace id, span id, flags, zeros.
func (t TraceContext) encode() []byte {
	place := make([]byte, traceSize)
	place[0] = t.Version
	copy(place[1:17], t.TraceID[:])
	copy(place[17:25], t.SpanID[:])
	place[25] = t.Flags
	return place
}

func decodeTrace(place []byte) TraceContext {
	trace := TraceContext{Version: place[0], Flags: place[25]}
	copy(trace.TraceID[:], place[1:17])
	copy(trace.SpanID[:], place[17:25])
	return trace
}
