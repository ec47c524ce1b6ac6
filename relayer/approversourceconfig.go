package relayer

// sources lists the endpoints that must agree about a chain.
func (c ApproverChain) sources() ([]Source, error) { return Sources(c.URL, c.URLFile, c.Also) }

// agree is how many of them must.
func (c ApproverChain) agree() int { return MustAgree(c.Agree, 1+len(c.Also)) }

// witnesses lists those that only confirm headers.
func (c ApproverChain) witnesses() (urls []string, err error) {
	urls = append(urls, c.Witnesses...)
	for _, file := range c.WitnessFiles {
		url, err := secretOf("", file)
		if err != nil {
			return nil, err
		}
		urls = append(urls, url)
	}
	return urls, nil
}

// Single lists the chains of which one endpoint alone is believed.
func (c ApproverConfig) Single() (names []string) {
	for _, ch := range c.Chains {
		if ch.agree() < 2 && len(ch.Witnesses)+len(ch.WitnessFiles) == 0 {
			names = append(names, ch.Name)
		}
	}
	return names
}

func (c ApproverChain) checkSources(at string, bad func(string, ...any)) {
	Chain{URL: c.URL, URLFile: c.URLFile, Also: c.Also, Agree: c.Agree, Lotus: c.Lotus, Finality: c.Finality}.checkSources(at, bad)
	if c.Proofs == ProofsEndpoints && len(c.Witnesses)+len(c.WitnessFiles) > 0 {
		bad("%s.witnesses: they confirm headers, which prove nothing with proofs: endpoints; name them under also", at)
	}
	if c.Lotus == nil {
		return
	}
	if c.Proofs != ProofsEndpoints {
		bad("%s.proofs: endpoints, since a Filecoin's headers prove nothing", at)
	}
	if len(c.Lotus.Floors) > 0 {
		bad("%s.lotus.floors: the relayer keeps them; a signer signs by depth alone", at)
	}
}
