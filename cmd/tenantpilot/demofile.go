package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// demoFileName is the file in the data directory that tells tools about the running demo.
const demoFileName = "demo.json"

// demoFile is demo.json: where the demo is and whom one can be in it. It holds tokens, so its mode is 0600.
type demoFile struct {
	BaseURL     string           `json:"baseURL"`
	DatabaseURL string           `json:"databaseURL"` // the application's role
	GraphURL    string           `json:"graphURL"`
	SignInURL   string           `json:"signInURL"`
	Users       []demoFileUser   `json:"users"`
	Tenants     []demoFileTenant `json:"tenants"`
}

type demoFileUser struct {
	Email     string `json:"email"`
	Role      string `json:"role"`
	Workspace string `json:"workspace"`
	Token     string `json:"token"`
}

type demoFileTenant struct {
	ExternalID   string `json:"externalId"`
	ID           int64  `json:"id"`
	Name         string `json:"name"`
	Workspace    string `json:"workspace"`
	ConnectionID *int64 `json:"connectionId"`
	Scenario     string `json:"scenario"`
}

// tokenOf is the token of the first user with a role, "" when there is none.
func (f demoFile) tokenOf(role string) string {
	for _, u := range f.Users {
		if u.Role == role {
			return u.Token
		}
	}
	return ""
}

func readDemoFile(path string) (demoFile, error) {
	var f demoFile
	b, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// write replaces the file as a whole, so that a reader sees the old one or the new one.
func (f demoFile) write(path string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
