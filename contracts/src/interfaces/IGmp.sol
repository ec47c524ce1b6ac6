// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice A call as it is hashed into its id and travels.
struct GmpCall {
    uint64 nonce; // of the port it was made at, ascending by one
    address sender;
    address target;
    uint64 gas; // promised to the target
    bytes data;
}

/// @title What a contract implements to be called from the other chain
interface IGmpCallee {
    /// @notice A port delivers a call. Of the callers of this function only the
    /// port of this chain tells the truth about `sourceChainId` and `sender`:
    /// check msg.sender first. It comes once per `id`, with at least the gas the
    /// sender asked for, in any order, and without value.
    /// @return ret for the sender. More of it than the port's maxRet undoes the
    /// call, as a revert does; the sender is told either way.
    function onGmpCall(bytes32 id, uint256 sourceChainId, address sender, bytes calldata data)
        external
        returns (bytes memory ret);
}

/// @title What a sender may implement to be told what became of its call
interface IGmpCaller {
    /// @notice A port delivers the result of the caller's own call `id`, once, with
    /// callbackGas gas: check msg.sender first. `ret` is what the target returned,
    /// or what it, or whoever refused the call, reverted with, cut off.
    /// @return onGmpResult.selector. Anything else, or a revert, is no failure: the
    /// result stands and `isResult` knows it.
    function onGmpResult(bytes32 id, bool ok, bytes calldata ret) external returns (bytes4);
}

/// @title What the ports on both chains have in common
interface IGmpEnd {
    /// @notice A call of the other chain was executed here, once and for all:
    /// `ok`, or undone as a whole.
    event CallExecuted(
        bytes32 indexed id, address indexed sender, address indexed target, bool ok, bytes ret
    );
    /// @notice A call made here has its result. `taken`: its sender is a contract
    /// and took it.
    event ResultReceived(bytes32 indexed id, address indexed sender, bool ok, bool taken, bytes ret);

    /// @notice keccak256(abi.encode("GMP1", chain id here, this port, chain id
    /// there, the port there, nonce, sender, target, gas, keccak256(data))).
    function callId(GmpCall calldata call_) external view returns (bytes32);
    /// @notice Likewise, of a call that comes from there.
    function incomingId(GmpCall calldata call_) external view returns (bytes32);
    /// @notice Of the next call made here.
    function nonce() external view returns (uint64);
    /// @notice Who waits for the result of a call made here, else 0.
    function waiting(bytes32 id) external view returns (address sender);
    /// @notice Is this the result that came for a call made here?
    function isResult(bytes32 id, bool ok, bytes calldata ret) external view returns (bool);
    /// @notice Was the call of this nonce, made there, executed here?
    function executed(uint64 callNonce) external view returns (bool);
    /// @notice Chain id and port of the other end.
    function farEnd() external view returns (uint256 chainId, address port);
    /// @notice Of a call made here: most bytes of data, most gas to ask for, and
    /// the gas its result is delivered with. Of a call executed here: most bytes
    /// that its target may return.
    function limits()
        external
        view
        returns (uint256 maxData, uint64 maxGas, uint64 callbackGas, uint256 maxRet);
}

/// @title The port on Ethereum
interface IGmpPort is IGmpEnd {
    /// @notice Right behind the gateway's ContractCall that carries it.
    event CallSent(
        bytes32 indexed id,
        address indexed sender,
        address indexed target,
        uint64 nonce,
        uint64 gas,
        bytes data,
        uint256 gasValue
    );

    /// @notice Has `target` in the subnet called with `data`; `gas` 0 asks for the
    /// most. msg.value pays for the relaying and may be 0.
    function call(address target, bytes calldata data, uint64 gas) external payable returns (bytes32 id);
}

/// @title The port in the subnet
interface IGmpSubnetPort is IGmpEnd {
    /// @notice On its way up, in bottom-up message `messageNonce`.
    event CallSent(
        bytes32 indexed id,
        address indexed sender,
        address indexed target,
        uint64 nonce,
        uint64 gas,
        bytes data,
        uint64 messageNonce
    );

    /// @notice Has `target` on Ethereum called with `data`; `gas` 0 asks for the
    /// most. msg.value is the gateway's exitFee.
    function call(address target, bytes calldata data, uint64 gas) external payable returns (bytes32 id);
    /// @notice Most gas that can be promised to a target here: what the port on
    /// Ethereum may let its callers ask for.
    function maxGasHere() external view returns (uint64);
}

/// @title Between both ports, on the root
interface IGmpRouter {
    /// @dev What is under way. Up is to Ethereum, down is into the subnet.
    enum Leg {
        CallDown,
        CallUp,
        ResultDown,
        ResultUp
    }

    /// @dev Of the leg an id is on.
    enum Stage {
        None,
        Sent,
        Kept
    }

    /// @notice On its way down, as top-down message `nonce`, whose Result would
    /// carry `messageId`.
    event SentDown(bytes32 indexed id, bytes32 indexed messageId, uint64 indexed nonce, Leg leg);
    /// @notice On its way to Ethereum, in the ContractCall right before this event.
    event SentUp(bytes32 indexed id, Leg indexed leg);
    /// @notice It could not go on: `detail` is what the refusal reverted with, its
    /// first 128 bytes. Anyone may retry with this id and message.
    event Kept(bytes32 indexed id, Leg indexed leg, bytes message, bytes detail);

    /// @notice Sends what was kept on, unchanged, or reverts as what refuses it
    /// does. Anyone may call.
    function retry(bytes32 id, bytes calldata message) external;
    /// @notice Tries a call kept for `patience` seconds a last time; if it cannot
    /// go on even now, its sender is told so: not ok, with the reason. Anyone may
    /// call.
    function giveUp(bytes32 id, bytes calldata message) external;

    /// @notice Where an id is, and since when it is kept.
    function stageOf(bytes32 id) external view returns (Leg leg, Stage stage, uint64 since);
    /// @notice keccak256 of the message kept under an id, else 0.
    function keptHash(bytes32 id) external view returns (bytes32);
    /// @notice The call that a top-down message carries which nothing has answered,
    /// else 0.
    function inflight(bytes32 messageId) external view returns (bytes32 id);
    /// @notice Id of a call made on Ethereum.
    function downId(GmpCall calldata call_) external view returns (bytes32);
    /// @notice Id of a call made in the subnet.
    function upId(GmpCall calldata call_) external view returns (bytes32);
    /// @notice Seconds.
    function patience() external view returns (uint256);
    /// @notice Gas that every leg gets.
    function legGas() external view returns (uint256);
}
