// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DevFlt} from "../../src/dev/DevFlt.sol";
import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import {IIpcHandler} from "../../src/interfaces/IIpcHandler.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import {Fvm} from "../../src/ipc/Fvm.sol";
import {
    IPCAddress,
    IpcEnvelope,
    IpcMsgKind,
    OutcomeType,
    SubnetID,
    Withdrawal,
    WithdrawalRequest
} from "../../src/ipc/Types.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {LinkedTokenReplica} from "../../src/usdc/LinkedTokenReplica.sol";
import {FastWithdrawals} from "../../src/withdraw/FastWithdrawals.sol";
import {OutboxParams, WithdrawalOutbox} from "../../src/withdraw/WithdrawalOutbox.sol";
import {Base} from "../Base.sol";

/// @dev A gateway that does what it is told: it numbers and keeps what is sent,
/// and applies what a test hands it. Value and handler go together or not at
/// all, the handler gets exactly the stipend, a failed Call goes back as a
/// Result with its value.
contract ScriptedGateway {
    SubnetID internal network;
    uint256 public immutable messageGas;
    uint256 public immutable exitFee;
    /// @dev ERC-20 supply, or 0 for coin.
    IERC20 public immutable supply;

    bytes[] internal queue;
    uint64 public nextNonce;
    uint256 public handlerGas;
    bytes public lastError;

    constructor(SubnetID memory network_, IERC20 supply_, uint256 messageGas_, uint256 exitFee_) payable {
        network = network_;
        supply = supply_;
        messageGas = messageGas_;
        exitFee = exitFee_;
    }

    receive() external payable {}

    function sent() external view returns (uint256) {
        return queue.length;
    }

    function message(uint256 i) public view returns (IpcEnvelope memory) {
        return abi.decode(queue[i], (IpcEnvelope));
    }

    function sendContractXnetMessage(IpcEnvelope memory e) external payable returns (IpcEnvelope memory) {
        require(msg.sender.code.length > 0, "sender has no code");
        if (address(supply) == address(0)) {
            require(msg.value == e.value + exitFee, "wrong value");
        } else {
            require(msg.value == 0, "coin on a token subnet");
            if (e.value > 0) require(supply.transferFrom(msg.sender, address(this), e.value));
        }
        e.kind = IpcMsgKind.Call;
        e.from = IPCAddress({subnetId: network, rawAddress: Fvm.from(msg.sender)});
        return _commit(e);
    }

    /// @dev Applies a message of the other side.
    function execute(IpcEnvelope memory e) external returns (OutcomeType outcome) {
        try this.handle(e) returns (uint256 used) {
            handlerGas = used;
            return OutcomeType.Ok;
        } catch (bytes memory reason) {
            lastError = reason;
            if (e.kind != IpcMsgKind.Result) _fail(e, reason);
            return OutcomeType.ActorErr;
        }
    }

    /// @dev Fails a message of the other side without showing it to anyone.
    function refuse(IpcEnvelope memory e) external {
        _fail(e, "");
    }

    function handle(IpcEnvelope memory e) external returns (uint256 used) {
        require(msg.sender == address(this));
        address to = Fvm.evm(e.to.rawAddress);
        uint256 coin = e.value;
        if (address(supply) != address(0)) {
            if (e.value > 0) require(supply.transfer(to, e.value));
            coin = 0;
        }
        used = gasleft();
        IIpcHandler(to).handleIpcMessage{value: coin, gas: messageGas}(e);
        used -= gasleft();
    }

    function _fail(IpcEnvelope memory e, bytes memory reason) private {
        bytes memory ret = new bytes(reason.length > 128 ? 128 : reason.length);
        for (uint256 i = 0; i < ret.length; i++) {
            ret[i] = reason[i];
        }
        _commit(Envelopes.resultFor(e, OutcomeType.ActorErr, ret));
    }

    function _commit(IpcEnvelope memory e) private returns (IpcEnvelope memory) {
        e.localNonce = nextNonce;
        e.originalNonce = nextNonce++;
        queue.push(abi.encode(e));
        return e;
    }
}

/// @dev Both sides in one EVM, with scripted gateways between them.
abstract contract World is Base {
    uint256 internal constant ROOT_GAS = 1_000_000;
    uint256 internal constant SUBNET_GAS = 500_000;
    uint256 internal constant EXIT_FEE = 0.01 ether;
    uint256 internal constant FLT_MIN = 0.1 ether;
    uint256 internal constant FLT_MAX = 1_000_000 ether;
    uint256 internal constant USDC_MIN = 1e6;
    uint256 internal constant USDC_MAX = 1_000_000e6;
    address internal constant ACTOR = address(0xAC700001);

    DevFlt internal flt;
    DevUsdc internal usdc;
    ScriptedGateway internal rootGateway;
    ScriptedGateway internal subnetGateway;
    LinkedTokenController internal controller;
    FastWithdrawals internal fast;
    LinkedTokenReplica internal replica;
    WithdrawalOutbox internal outbox;

    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");

    function setUp() public virtual {
        flt = new DevFlt(address(this));
        build(address(new DevUsdc(address(this))));
    }

    /// @dev The whole set round a token that plays USDC.
    function build(address usdcLike) internal {
        usdc = DevUsdc(usdcLike);
        rootGateway = new ScriptedGateway(rootId(), flt, ROOT_GAS, 0);
        subnetGateway = new ScriptedGateway(subnetId(), IERC20(address(0)), SUBNET_GAS, EXIT_FEE);

        uint256 n = vm.getNonce(address(this));
        address controllerAt = vm.computeCreateAddress(address(this), n);
        address fastAt = vm.computeCreateAddress(address(this), n + 1);
        address replicaAt = vm.computeCreateAddress(address(this), n + 2);
        address outboxAt = vm.computeCreateAddress(address(this), n + 3);
        controller = new LinkedTokenController(
            address(rootGateway), subnetId(), replicaAt, usdcLike, fastAt, USDC_MIN, USDC_MAX
        );
        fast = newFast(address(rootGateway), outboxAt, controllerAt);
        replica = new LinkedTokenReplica(
            address(subnetGateway), rootId(), controllerAt, outboxAt, USDC_MAX, "USD Coin", "USDC"
        );
        outbox = new WithdrawalOutbox(outboxParams());
        vm.assertEq(address(outbox), outboxAt);
        vm.assertEq(address(fast), fastAt);

        // Coin of the subnet, and as much FLT locked on the root.
        vm.deal(address(subnetGateway), 100 ether);
        vm.deal(alice, 10_000_000 ether);
        flt.mint(address(rootGateway), 20_000_000 ether);
    }

    function newFast(address gateway, address outbox_, address controller_)
        internal
        virtual
        returns (FastWithdrawals)
    {
        return new FastWithdrawals(gateway, subnetId(), outbox_, controller_, address(flt));
    }

    function outboxParams() internal view returns (OutboxParams memory) {
        return OutboxParams({
            gateway: address(subnetGateway),
            subnet: subnetId(),
            rootNetwork: rootId(),
            rootChainId: block.chainid,
            rootGateway: address(rootGateway),
            controller: address(controller),
            fastWithdrawals: address(fast),
            rootFlt: address(flt),
            rootUsdc: address(usdc),
            replica: address(replica),
            fltMin: FLT_MIN,
            fltMax: FLT_MAX,
            usdcMin: USDC_MIN,
            usdcMax: USDC_MAX
        });
    }

    function rootId() internal view returns (SubnetID memory id) {
        // forge-lint: disable-next-line(unsafe-typecast)
        id.root = uint64(block.chainid);
    }

    function subnetId() internal view returns (SubnetID memory id) {
        // forge-lint: disable-next-line(unsafe-typecast)
        id.root = uint64(block.chainid);
        id.route = new address[](1);
        id.route[0] = ACTOR;
    }

    /// @dev Deposits USDC and carries the message; alice holds it afterwards.
    function depositUsdc(address from, address to, uint256 amount) internal returns (bytes32 id) {
        IpcEnvelope memory e = sendDeposit(from, to, amount);
        vm.assertTrue(subnetGateway.execute(e) == OutcomeType.Ok);
        return Envelopes.tracingId(e);
    }

    function sendDeposit(address from, address to, uint256 amount) internal returns (IpcEnvelope memory e) {
        usdc.mint(from, amount);
        vm.prank(from);
        usdc.approve(address(controller), amount);
        vm.prank(from);
        e = controller.linkedTransfer(to, amount);
    }

    function request(address token, uint256 amount, address to)
        internal
        view
        returns (WithdrawalRequest memory r)
    {
        r.token = token;
        r.amount = amount;
        r.recipient = to;
        r.fallbackRecipient = carol;
    }

    /// @dev Sends a withdrawal; returns what went out and as what.
    function sendWithdrawal(address from, WithdrawalRequest memory r)
        internal
        returns (Withdrawal memory w, IpcEnvelope memory e)
    {
        w = expected(from, r);
        uint256 value = (r.token == address(flt) ? r.amount : 0) + EXIT_FEE;
        vm.prank(from);
        bytes32 id = outbox.withdraw{value: value}(r);
        vm.assertEq(id, outbox.withdrawalId(w));
        vm.assertEq(id, fast.withdrawalId(w));
        e = subnetGateway.message(subnetGateway.sent() - 1);
    }

    function expected(address from, WithdrawalRequest memory r) internal view returns (Withdrawal memory) {
        return Withdrawal({
            subnetKey: keccak256(abi.encode(subnetId())),
            outbox: address(outbox),
            nonce: outbox.nonce(),
            token: r.token,
            sender: from,
            recipient: r.recipient,
            fallbackRecipient: r.fallbackRecipient,
            gross: r.amount,
            minOut: r.minOut,
            // forge-lint: disable-next-line(unsafe-typecast)
            height: uint64(block.number),
            fillDeadline: r.fillDeadline,
            exclusiveFiller: r.exclusiveFiller,
            exclusivityDeadline: r.exclusivityDeadline,
            maxFeeBps: r.maxFeeBps
        });
    }

    function lastFromRoot() internal view returns (IpcEnvelope memory) {
        return rootGateway.message(rootGateway.sent() - 1);
    }

    function lastFromSubnet() internal view returns (IpcEnvelope memory) {
        return subnetGateway.message(subnetGateway.sent() - 1);
    }
}

/// @dev A USDC that can be paused, can take a fee, or can do something nasty.
contract NastyUsdc is DevUsdc {
    enum Mode {
        Plain,
        Paused,
        Fee,
        ReturnsFalse,
        BurnsGas,
        ReturnBomb
    }

    Mode public mode;

    constructor(address owner) DevUsdc(owner) {}

    function setMode(Mode m) external {
        mode = m;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (mode == Mode.Paused) revert("paused");
        if (mode == Mode.ReturnsFalse) return false;
        if (mode == Mode.BurnsGas) {
            assembly {
                invalid()
            }
        }
        if (mode == Mode.ReturnBomb) {
            assembly {
                revert(0, 20000)
            }
        }
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (mode == Mode.Fee) {
            _burn(from, 1);
            return super.transferFrom(from, to, amount - 1);
        }
        return super.transferFrom(from, to, amount);
    }
}
