package secrets

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// resealAtOnce is how many credentials one transaction seals anew: few enough that nobody waits for it.
const resealAtOnce = 20

// ErrUnopenable says that credentials are stored that the keyset cannot open.
type ErrUnopenable struct {
	Connections []int64 // whose they are; sorted, each once
	Credentials int
}

// Error implements error.
func (e *ErrUnopenable) Error() string {
	return fmt.Sprintf("%d stored credentials cannot be opened with this keyset", e.Credentials)
}

func (e *ErrUnopenable) add(connection int64) {
	e.Credentials++
	if i, found := slices.BinarySearch(e.Connections, connection); !found {
		e.Connections = slices.Insert(e.Connections, i, connection)
	}
}

func (e *ErrUnopenable) orNil() error {
	if e.Credentials == 0 {
		return nil
	}
	return e
}

// Reseal seals everything that another key has sealed anew with the primary key, in small transactions, and returns how many credentials that
// were; progress, which may be nil, is told the number after each transaction. It may be interrupted or killed at any point and run again:
// each credential is sealed with one key or the other, and both open. What cannot be opened is left as it is and is an *ErrUnopenable in the
// end, after everything else was done.
func (s *Store) Reseal(ctx context.Context, progress func(int)) (int, error) {
	k, err := s.refreshed()
	if err != nil {
		return 0, err
	}
	total := 0
	for {
		var stuck ErrUnopenable
		pass, after := 0, resealed{}
		for more := true; more; {
			var done int
			err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
				done, more, err = k.reseal(ctx, tx, &after, &stuck)
				return err
			})
			if err != nil {
				return total, fmt.Errorf("seal credentials anew: %w", err)
			}
			pass, total = pass+done, total+done
			if progress != nil && done > 0 {
				progress(total)
			}
		}
		if pass == 0 { // nothing was sealed with an older key meanwhile, by a process that has not seen the new one
			return total, stuck.orNil()
		}
	}
}

// resealed is how far a pass has come.
type resealed struct {
	connection  int64
	fingerprint string
}

// stored is a credential as it lies in the database.
type stored struct {
	Connection        int64
	Fingerprint       string
	Workspace, Tenant uuid.UUID
	Ciphertext        []byte
}

func (c stored) bound() binding { return binding{c.Workspace, c.Tenant, c.Connection, c.Fingerprint} }

func (k *keys) reseal(ctx context.Context, tx pgx.Tx, after *resealed, stuck *ErrUnopenable) (done int, more bool, err error) {
	rows, err := tx.Query(ctx, `select connection, fingerprint, workspace, tenant, ciphertext from provider_credentials
		where substring(ciphertext from 1 for $1) <> $2 and (connection, fingerprint) > ($3, $4)
		order by connection, fingerprint limit $5 for update`, markLength, mark(k.primary), after.connection, after.fingerprint, resealAtOnce)
	if err != nil {
		return 0, false, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		return 0, false, err
	}
	batch := &pgx.Batch{}
	for _, c := range list {
		*after = resealed{c.Connection, c.Fingerprint}
		secret, err := k.open(c.Ciphertext, c.bound())
		if err != nil {
			stuck.add(c.Connection)
			continue
		}
		sealed, err := k.seal(secret, c.bound())
		if err != nil {
			return 0, false, err
		}
		batch.Queue(`update provider_credentials set ciphertext = $3 where connection = $1 and fingerprint = $2`, c.Connection, c.Fingerprint, sealed)
	}
	return batch.Len(), len(list) == resealAtOnce, tx.SendBatch(ctx, batch).Close()
}

// Sealed counts the stored credentials by the id of the key that has sealed them, also those that are no longer in use.
func Sealed(ctx context.Context, pool *pgxpool.Pool) (map[uint32]int, error) {
	rows, err := pool.Query(ctx, `select substring(ciphertext from 1 for $1), count(*) from provider_credentials group by 1`, markLength)
	if err != nil {
		return nil, fmt.Errorf("count credentials: %w", err)
	}
	counts := map[uint32]int{}
	var begin []byte
	var n int
	_, err = pgx.ForEachRow(rows, []any{&begin, &n}, func() error {
		id, _ := keyOf(begin)
		counts[id] += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count credentials: %w", err)
	}
	return counts, nil
}

// Check opens every credential that is in use and returns an *ErrUnopenable if some cannot be. A nil store, of a process without a keyset,
// opens none.
func Check(ctx context.Context, pool *pgxpool.Pool, s *Store) error {
	rows, err := pool.Query(ctx, `select s.connection, s.fingerprint, s.workspace, s.tenant, s.ciphertext from provider_credentials s
		join provider_connections c on c.number = s.connection and c.credential_fingerprint = s.fingerprint`)
	if err != nil {
		return fmt.Errorf("check credentials: %w", err)
	}
	var lost ErrUnopenable
	var c stored
	_, err = pgx.ForEachRow(rows, []any{&c.Connection, &c.Fingerprint, &c.Workspace, &c.Tenant, &c.Ciphertext}, func() error {
		if s == nil {
			lost.add(c.Connection)
		} else if _, err := s.open(c.Ciphertext, c.bound()); err != nil {
			lost.add(c.Connection)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check credentials: %w", err)
	}
	return lost.orNil()
}
