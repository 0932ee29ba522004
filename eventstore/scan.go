package eventstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ScanQuery is the statement with which Scan reads the positions in (after, upTo]: what a bare reader of the same events would send.
// seqs are the least and the greatest seq among them, which keeps the join from looking further.
func ScanQuery(after, upTo int64, seqs [2]int64) string {
	return fmt.Sprintf(`copy (select l.position, %s from public.log l join public.events e using (seq)
		where l.position > %d and l.position <= %d and e.seq between %d and %d) to stdout (format binary)`,
		eventColumns, after, upTo, seqs[0], seqs[1])
}

// Scan reads the events at positions in (after, upTo], in order, with one COPY: for readers of long stretches, such as rebuilds. The
// payloads are parts of one block of memory, which goes when the last of the events goes.
func Scan(ctx context.Context, conn *pgx.Conn, after, upTo int64) ([]Event, error) {
	var n int
	var seqs [2]int64
	err := conn.QueryRow(ctx, `select count(*), coalesce(min(seq), 0), coalesce(max(seq), 0) from public.log where position > $1 and position <= $2`,
		after, upTo).Scan(&n, &seqs[0], &seqs[1])
	if err != nil {
		return nil, fmt.Errorf("scan log after %d: %w", after, err)
	}
	if n == 0 {
		return nil, nil
	}
	block := make(block, 0, n*640) // about what an event takes
	if _, err := conn.PgConn().CopyTo(ctx, &block, ScanQuery(after, upTo, seqs)); err != nil {
		return nil, fmt.Errorf("scan log after %d: %w", after, err)
	}
	events, err := block.events(n)
	if err != nil {
		return nil, fmt.Errorf("scan log after %d: %w", after, err)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Position, b.Position) })
	return events, nil
}

// block is what COPY sent.
type block []byte

// Write implements io.Writer.
func (b *block) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

var errCopyFormat = errors.New("unexpected bytes in binary COPY")

// copyHead is the length of the signature, the flags and the (empty) extension of binary COPY.
const copyHead = 19

func (b *block) events(n int) ([]Event, error) {
	if len(*b) < copyHead {
		return nil, errCopyFormat
	}
	names := map[string]string{}
	events := make([]Event, 0, n)
	rest := (*b)[copyHead:]
	for {
		if len(rest) < 2 {
			return nil, errCopyFormat
		}
		fields := int16(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
		if fields == -1 {
			return events, nil
		}
		if fields != 10 {
			return nil, errCopyFormat
		}
		var raw [10][]byte
		for i := range raw {
			if len(rest) < 4 {
				return nil, errCopyFormat
			}
			size := int(int32(binary.BigEndian.Uint32(rest)))
			if size < 0 || len(rest) < 4+size {
				return nil, errCopyFormat // no column is null
			}
			raw[i], rest = rest[4:4+size:4+size], rest[4+size:]
		}
		events = append(events, copiedEvent(&raw, names))
	}
}

// copiedEvent reads the columns of ScanQuery. Their types are fixed, so are the lengths of all but the name and the two texts.
func copiedEvent(raw *[10][]byte, names map[string]string) Event {
	name, ok := names[string(raw[4])]
	if !ok {
		name = string(raw[4])
		names[name] = name
	}
	const epoch = 946684800_000000 // 2000-01-01 in microseconds
	return Event{
		Position: int64(binary.BigEndian.Uint64(raw[0])), Stream: uuid.UUID(raw[1]), Version: int(binary.BigEndian.Uint32(raw[2])),
		ID: uuid.UUID(raw[3]), Name: name, Workspace: uuid.UUID(raw[5]), Tenant: uuid.UUID(raw[6]),
		RecordedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(raw[7])) + epoch).UTC(), Meta: raw[8], Payload: raw[9],
	}
}
