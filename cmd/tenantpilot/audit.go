package main

import "github.com/spf13/cobra"

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Look into the log, prove what it says, check that nobody changed it", Args: noArgs,
	}
	cmd.AddCommand(
		auditVerifyCommand(), auditCheckOrderCommand(), auditHeadsCommand(), auditProveCommand(), auditPackCommand(),
	)
	return cmd
}
