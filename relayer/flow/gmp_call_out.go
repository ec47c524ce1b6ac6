package flow

// GmpCallOut is a call of a contract in the subnet to a contract on Ethereum, the
// mirror of GmpCallIn. Its sender's one call of GmpSubnetPort goes up with a
// checkpoint to GmpRouter, which sends it on over a leg; GmpPort executes it and
// sends the result over a leg back to the router, which sends it down to
// GmpSubnetPort, and that tells the sender. What the router refuses comes down by
// itself, as a result that says so.
func GmpCallOut(s Subnet, c Crossing, d GmpDeps) Flow { return s.gmpOut(c, d).flow() }
