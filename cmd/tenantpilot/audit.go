package main

import "github.com/spf13/cobra"

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Read what happened, prove it, check that nobody changed it", Args: noArgs,
		Long: `Read the event log as the auditor's role, which can read everything and write nothing. No console has to run.

The database is TENANTPILOT_DATABASE_URL (the auditor's role), or else the running demo's.`,
	}
	cmd.AddCommand(
		auditEventsCommand(), auditExplainCommand(), auditStateCommand(), auditEraseCommand(),
		auditVerifyCommand(), auditCheckOrderCommand(), auditHeadsCommand(), auditProveCommand(), auditPackCommand(),
	)
	return cmd
}
