package pgembed

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// EnsureRoles creates the owner, app and auditor roles with these passwords where they are missing. It changes nothing
// about roles that exist. Several processes may call it at once.
func EnsureRoles(ctx context.Context, superuserURL string, passwords map[string]string) error {
	conn, err := pgx.Connect(ctx, superuserURL)
	if err != nil {
		return fmt.Errorf("connect as superuser: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, role := range []string{OwnerRole, AppRole, AuditorRole} {
		var exists bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, role).Scan(&exists)
		if err != nil {
			return fmt.Errorf("look for role %s: %w", role, err)
		}
		if exists {
			continue
		}
		create := fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD %s`, quoteName(role), quoteText(passwords[role]))
		if _, err := conn.Exec(ctx, create); err != nil && !isDuplicate(err) {
			return fmt.Errorf("create role %s: %w", role, err)
		}
	}
	// Nobody signs in as the console: the application takes it on to read (00009_row_security.sql).
	for _, statement := range []string{`CREATE ROLE ` + ConsoleRole + ` NOLOGIN`, `GRANT ` + ConsoleRole + ` TO ` + AppRole} {
		if _, err := conn.Exec(ctx, statement); err != nil && !isDuplicate(err) {
			return fmt.Errorf("create role %s: %w", ConsoleRole, err)
		}
	}
	return nil
}

// EnsureDatabase creates a database that belongs to the owner role, with its schema public, if it is missing. A crash
// between the two is repaired by the next call. The argument maps a database to the superuser's URL for it.
func EnsureDatabase(ctx context.Context, superuserURL func(database string) string, name string) error {
	if err := createDatabase(ctx, superuserURL("postgres"), name); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, superuserURL(name))
	if err != nil {
		return fmt.Errorf("connect to database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `ALTER SCHEMA public OWNER TO `+quoteName(OwnerRole)); err != nil {
		return fmt.Errorf("hand schema public to the owner: %w", err)
	}
	return nil
}

func createDatabase(ctx context.Context, superuserURL, name string) error {
	conn, err := pgx.Connect(ctx, superuserURL)
	if err != nil {
		return fmt.Errorf("connect as superuser: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	create := fmt.Sprintf(`CREATE DATABASE %s OWNER %s ENCODING 'UTF8' TEMPLATE template0`, quoteName(name), quoteName(OwnerRole))
	if _, err := conn.Exec(ctx, create); err != nil && !isDuplicate(err) {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// isDuplicate tells that somebody else has just created the same thing: noticed before the insert into the catalogue
// (duplicate_object, duplicate_database) or by its unique index.
func isDuplicate(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}
	return pgErr.Code == "42710" || pgErr.Code == "42P04" || pgErr.Code == "23505"
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteText quotes a password for CREATE ROLE, which takes no parameters. Ours are hexadecimal; those of a foreign
// server may be anything, and standard_conforming_strings has been on since Postgres 9.1.
func quoteText(text string) string {
	quoted := []byte{'\''}
	for i := range len(text) {
		if text[i] == '\'' {
			quoted = append(quoted, '\'')
		}
		quoted = append(quoted, text[i])
	}
	return string(append(quoted, '\''))
}
