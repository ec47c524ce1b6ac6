package axelar

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// This file is what FltSender, FltHandler and FltPortal say (contracts/src/flt):
// the wire form of FLT crossing between Ethereum and a subnet.

// FltDeposit is a deposit of FLT on Ethereum: what is hashed into its id, and the
// data that travels with it.
type FltDeposit struct {
	Sender    common.Address // on Ethereum
	Recipient common.Address // in the subnet
	Subnet    common.Hash    // ipc.SubnetID.Hash
	Nonce     uint64         // of FltSender
	Amount    *big.Int       // wei
}

// FltWithdrawal is a withdrawal of FLT from a subnet to Ethereum.
type FltWithdrawal struct {
	Subnet    common.Hash    // ipc.SubnetID.Hash
	Portal    common.Address // FltPortal
	Nonce     uint64         // of FltPortal
	Sender    common.Address // in the subnet
	Recipient common.Address // on Ethereum
	RefundTo  common.Address // on the root, or zero
	Amount    *big.Int       // wei
}

const (
	depositWords    = 5
	withdrawalWords = 7
)

// EncodeFltDeposit is abi.encode(deposit): five words.
func EncodeFltDeposit(d FltDeposit) []byte {
	return words(addressWord(d.Sender), addressWord(d.Recipient), d.Subnet, uintWord(d.Nonce), bigWord(d.Amount))
}

// DecodeFltDeposit reads exactly five words.
func DecodeFltDeposit(b []byte) (FltDeposit, error) {
	w, err := staticWords(b, depositWords, "deposit")
	if err != nil {
		return FltDeposit{}, err
	}
	var d FltDeposit
	if d.Sender, err = w.address(0); err != nil {
		return FltDeposit{}, err
	}
	if d.Recipient, err = w.address(1); err != nil {
		return FltDeposit{}, err
	}
	if d.Nonce, err = w.uint64(3); err != nil {
		return FltDeposit{}, err
	}
	d.Subnet, d.Amount = w[2], w[4].Big()
	return d, nil
}

// FltDepositID is keccak256(abi.encode("FLTD1", chain id, FltSender, deposit)).
func FltDepositID(l1 chains.ID, sender common.Address, d FltDeposit) common.Hash {
	return taggedHash("FLTD1", depositWords, uint64(l1), sender, EncodeFltDeposit(d))
}

// EncodeFltWithdrawal is abi.encode(withdrawal): seven words.
func EncodeFltWithdrawal(w FltWithdrawal) []byte {
	return words(w.Subnet, addressWord(w.Portal), uintWord(w.Nonce), addressWord(w.Sender), addressWord(w.Recipient), addressWord(w.RefundTo), bigWord(w.Amount))
}

// DecodeFltWithdrawal reads exactly seven words.
func DecodeFltWithdrawal(b []byte) (FltWithdrawal, error) {
	w, err := staticWords(b, withdrawalWords, "withdrawal")
	if err != nil {
		return FltWithdrawal{}, err
	}
	out := FltWithdrawal{Subnet: w[0], Amount: w[6].Big()}
	if out.Nonce, err = w.uint64(2); err != nil {
		return FltWithdrawal{}, err
	}
	for i, a := range map[int]*common.Address{1: &out.Portal, 3: &out.Sender, 4: &out.Recipient, 5: &out.RefundTo} {
		if *a, err = w.address(i); err != nil {
			return FltWithdrawal{}, err
		}
	}
	return out, nil
}

// FltWithdrawalID is keccak256(abi.encode("FLTW1", root chain id, FltHandler, withdrawal)).
func FltWithdrawalID(root chains.ID, handler common.Address, w FltWithdrawal) common.Hash {
	return taggedHash("FLTW1", withdrawalWords, uint64(root), handler, EncodeFltWithdrawal(w))
}

// taggedHash is keccak256(abi.encode(tag, chain, contract, static words)): the
// string's offset stands where it would, behind the head of all four.
func taggedHash(tag string, static int, chain uint64, contract common.Address, body []byte) common.Hash {
	head := words(uintWord(uint64(32*(3+static))), uintWord(chain), addressWord(contract))
	text := make([]byte, 32)
	copy(text, tag)
	return keccak(head, body, words(uintWord(uint64(len(tag)))), text)
}

func words(w ...common.Hash) []byte {
	out := make([]byte, 0, 32*len(w))
	for _, x := range w {
		out = append(out, x[:]...)
	}
	return out
}

func addressWord(a common.Address) common.Hash { return common.BytesToHash(a[:]) }
func uintWord(n uint64) common.Hash            { return common.BigToHash(new(big.Int).SetUint64(n)) }

// bigWord takes uint256 only; what is none cannot have come from a contract.
func bigWord(n *big.Int) common.Hash {
	if n == nil || n.Sign() < 0 || n.BitLen() > 256 {
		panic(fmt.Sprintf("[BUG] %v is no uint256", n))
	}
	return common.BigToHash(n)
}

type static []common.Hash

func staticWords(b []byte, n int, what string) (static, error) {
	if len(b) != 32*n {
		return nil, fmt.Errorf("%s of %d bytes instead of %d: %w", what, len(b), 32*n, ErrMalformed)
	}
	out := make(static, n)
	for i := range out {
		out[i] = common.BytesToHash(b[32*i : 32*i+32])
	}
	return out, nil
}

func (s static) address(i int) (common.Address, error) {
	if n := s[i].Big(); n.BitLen() > 160 {
		return common.Address{}, fmt.Errorf("word %d is no address: %w", i, ErrMalformed)
	}
	return common.BytesToAddress(s[i][12:]), nil
}

func (s static) uint64(i int) (uint64, error) {
	n := s[i].Big()
	if !n.IsUint64() {
		return 0, fmt.Errorf("word %d is no uint64: %w", i, ErrMalformed)
	}
	return n.Uint64(), nil
}

// Selectors of what anybody may call of FltHandler and FltPortal.
var (
	selRetryDeposit    = ipc.SelectorOf("retryDeposit((address,address,bytes32,uint64,uint256))")
	selSendBack        = ipc.SelectorOf("sendBack((address,address,bytes32,uint64,uint256))")
	selRetryWithdrawal = ipc.SelectorOf("retryWithdrawal((bytes32,address,uint64,address,address,address,uint256))")
	selResend          = ipc.SelectorOf("resend((bytes32,address,uint64,address,address,address,uint256))")
	selCreditOf        = ipc.SelectorOf("creditOf(bytes32)")
	selReturnedOf      = ipc.SelectorOf("returnedOf(bytes32)")
)

// RetryDepositCalldata funds a deposit that FltHandler keeps again.
func RetryDepositCalldata(d FltDeposit) []byte {
	return append(selRetryDeposit.Bytes(), EncodeFltDeposit(d)...)
}

// SendBackCalldata sends a deposit that FltHandler keeps back to its sender.
func SendBackCalldata(d FltDeposit) []byte {
	return append(selSendBack.Bytes(), EncodeFltDeposit(d)...)
}

// RetryWithdrawalCalldata sends a withdrawal that FltHandler keeps on again.
func RetryWithdrawalCalldata(w FltWithdrawal) []byte {
	return append(selRetryWithdrawal.Bytes(), EncodeFltWithdrawal(w)...)
}

// ResendCalldata sends a withdrawal that came back to FltPortal again.
func ResendCalldata(w FltWithdrawal) []byte {
	return append(selResend.Bytes(), EncodeFltWithdrawal(w)...)
}

// FltCredit is what FltHandler keeps under an id, and whether it may be tried
// again.
type FltCredit struct {
	Amount    *big.Int
	Retriable bool
}

// FltCreditOf asks FltHandler for a credit.
func FltCreditOf(handler common.Address, id common.Hash) Question[FltCredit] {
	return ask([]Call{{handler, append(selCreditOf.Bytes(), id[:]...)}}, func(answers [][]byte) (FltCredit, error) {
		w, err := staticWords(answers[0], 2, "creditOf's answer")
		if err != nil {
			return FltCredit{}, err
		}
		retriable, err := w.uint64(1)
		if err != nil || retriable > 1 {
			return FltCredit{}, fmt.Errorf("creditOf's answer is no boolean: %w", ErrMalformed)
		}
		return FltCredit{w[0].Big(), retriable == 1}, nil
	})
}

// FltReturnedOf asks FltPortal for what it holds of a withdrawal that came back.
func FltReturnedOf(portal common.Address, id common.Hash) Question[*big.Int] {
	return ask([]Call{{portal, append(selReturnedOf.Bytes(), id[:]...)}}, func(answers [][]byte) (*big.Int, error) {
		w, err := staticWords(answers[0], 1, "returnedOf's answer")
		if err != nil {
			return nil, err
		}
		return w[0].Big(), nil
	})
}
