package devnet

import "github.com/causeway-bridge/causeway/contracts/deploy"

// Settings are the contracts' own, but for a timelock that somebody who tries it
// can wait for.
func Settings() deploy.Settings {
	s := deploy.Default()
	s.RecoveryDelay = 60
	return s
}
