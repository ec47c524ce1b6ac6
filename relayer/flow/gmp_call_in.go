package flow

// GmpCallIn is a call of a contract on Ethereum to a contract in the subnet. Its
// sender's one call of GmpPort says everything; a leg carries it to GmpRouter on the
// root, which sends it down; GmpSubnetPort executes it, and what its target returned
// or failed with goes up with a checkpoint, on from the router, and over a leg back to
// GmpPort, which tells the sender. A target that fails, that has no code, or that the
// call cannot reach is a result like any other: the call ends done, with a reason.
func GmpCallIn(s Subnet, c Crossing, d GmpDeps) Flow { return s.gmpIn(c, d).flow() }
