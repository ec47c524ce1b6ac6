// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DevFlt} from "../../src/dev/DevFlt.sol";
import {DevUsdc} from "../../src/dev/DevUsdc.sol";
import {ISubnetGateway} from "../../src/interfaces/ISubnetGateway.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Envelopes} from "../../src/ipc/Envelopes.sol";
import "../../src/ipc/Types.sol";
import {Gateway} from "../../src/root/Gateway.sol";
import {SubnetActor} from "../../src/root/SubnetActor.sol";
import {SubnetGateway} from "../../src/subnet/SubnetGateway.sol";
import {LinkedTokenController} from "../../src/usdc/LinkedTokenController.sol";
import {LinkedTokenReplica} from "../../src/usdc/LinkedTokenReplica.sol";
import {FastWithdrawals} from "../../src/withdraw/FastWithdrawals.sol";
import {OutboxParams, WithdrawalOutbox} from "../../src/withdraw/WithdrawalOutbox.sol";
import {Base, Vm} from "../Base.sol";

/// @dev The real contracts of both sides in one EVM, with four validators who
/// sign and a carrier who moves messages by the permissionless entry points. Both
/// sides share the chain id and the block number.
abstract contract TwoChains is Base {
    address payable internal constant GATEWAY_AT = payable(0x77Aa40B105843728088c0132e43FC44348881DA8);
    address internal constant REPLICA_AT = 0x77aA40B105843728088C0132e43fC44348881D01;
    address internal constant OUTBOX_AT = 0x77Aa40B105843728088C0132e43FC44348881D02;
    uint256 internal constant TREASURY = 2 ** 100;
    uint256 internal constant PREFUND = 1000 ether;
    uint256 internal constant FEE = 0.01 ether;
    uint64 internal constant PERIOD = 10;
    uint256 internal constant ROOT_GAS = 1_000_000;
    uint256 internal constant SUBNET_GAS = 500_000;
    uint256 internal constant FLT_MAX = 100_000 ether;
    uint256 internal constant USDC_MAX = 100_000e6;
    /// @dev Below what the root takes, so that a deposit can fail in the subnet.
    uint256 internal constant MINT_CAP = 50_000e6;

    DevFlt internal flt;
    DevUsdc internal usdc;
    Gateway internal gateway;
    SubnetActor internal actor;
    LinkedTokenController internal controller;
    FastWithdrawals internal fast;
    SubnetGateway internal subnet = SubnetGateway(GATEWAY_AT);
    LinkedTokenReplica internal replica = LinkedTokenReplica(REPLICA_AT);
    WithdrawalOutbox internal outbox = WithdrawalOutbox(OUTBOX_AT);

    address internal alice = makeAddr("alice");
    address internal bob = makeAddr("bob");
    address internal carol = makeAddr("carol");
    address internal relayer = makeAddr("relayer");

    uint256[] internal keys; // ascending by address
    IpcEnvelope[] private none;
    bytes[] internal down; // committed top-down messages
    bytes[] internal up; // messages of the open epochs, by nonce
    uint256 internal executed;
    Withdrawal[] private usdcWithdrawals;

    function setUp() public virtual {
        for (uint256 i = 0; i < 4; ++i) {
            (, uint256 key) = makeAddrAndKey(string.concat("validator ", vm.toString(i)));
            keys.push(key);
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
        vm.roll(1000);
        vm.warp(1_800_000_000);
        vm.recordLogs();
        _buildRoot();
        _buildSubnet();
        giveFlt(alice, 1_000_000 ether);
        vm.deal(alice, 0);
    }

    /// @dev The FLT of the root, and how somebody comes by it.
    function makeFlt() internal virtual returns (DevFlt) {
        return new DevFlt(address(this));
    }

    function giveFlt(address to, uint256 amount) internal virtual {
        flt.mint(to, amount);
    }

    // ---- the two chains

    function _buildRoot() private {
        flt = makeFlt();
        usdc = new DevUsdc(address(this));
        gateway = new Gateway(rootId(), ROOT_GAS, 1, FLT_MAX, 1 hours, 1 hours);
        SubnetParams memory p;
        p.minActivationCollateral = 40 ether;
        p.minValidators = 4;
        p.bottomUpCheckPeriod = PERIOD;
        p.ipcGatewayAddr = address(gateway);
        p.activeValidatorsLimit = 100;
        p.majorityPercentage = 67;
        p.powerScale = 3;
        p.permissionMode = PermissionMode.Collateral;
        p.supplySource = Asset(AssetKind.ERC20, address(flt));
        p.collateralSource = Asset(AssetKind.Native, address(0));
        p.parentId = rootId();
        p.genesisSubnetIpcContractsOwner = address(this);
        actor = new SubnetActor(p, address(this));
        gateway.approveSubnet(address(actor));

        giveFlt(relayer, PREFUND);
        vm.startPrank(relayer);
        flt.approve(address(actor), PREFUND);
        actor.preFund(PREFUND);
        vm.stopPrank();
        for (uint256 i = 0; i < keys.length; ++i) {
            address v = vm.addr(keys[i]);
            vm.deal(v, 10 ether);
            bytes memory key = publicKey(keys[i]);
            vm.prank(v);
            actor.join{value: 10 ether}(key, 10 ether);
        }
        vm.roll(block.number + 1);
        actor.recordBootstrap();

        address fastAt = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        controller = new LinkedTokenController(
            address(gateway), subnetId(), REPLICA_AT, address(usdc), fastAt, 1e6, USDC_MAX
        );
        fast = new FastWithdrawals(address(gateway), subnetId(), OUTBOX_AT, address(controller), address(flt));
        vm.assertEq(address(fast), fastAt);
    }

    function _buildSubnet() private {
        ISubnetGateway.Genesis memory g = ISubnetGateway.Genesis({
            networkName: subnetId(),
            rootGateway: address(gateway),
            validators: actor.genesisValidators(),
            bottomUpCheckPeriod: PERIOD,
            majorityPercentage: 67,
            powerScale: 3,
            salt: actor.bootstrapSalt(),
            circSupply: actor.genesisCircSupply(),
            exitFee: FEE,
            deliverReward: FEE / 10,
            minRelease: 1000,
            maxMsgsPerPeriod: 20_000,
            messageGas: SUBNET_GAS
        });
        place(GATEWAY_AT, abi.encodePacked(type(SubnetGateway).creationCode, abi.encode(g)));
        vm.deal(GATEWAY_AT, TREASURY);
        vm.deal(relayer, PREFUND);
        place(
            REPLICA_AT,
            abi.encodePacked(
                type(LinkedTokenReplica).creationCode,
                abi.encode(GATEWAY_AT, rootId(), address(controller), OUTBOX_AT, MINT_CAP, "USD Coin", "USDC")
            )
        );
        OutboxParams memory o = OutboxParams({
            gateway: GATEWAY_AT,
            subnet: subnetId(),
            rootNetwork: rootId(),
            rootChainId: block.chainid,
            rootGateway: address(gateway),
            controller: address(controller),
            fastWithdrawals: address(fast),
            rootFlt: address(flt),
            rootUsdc: address(usdc),
            replica: REPLICA_AT,
            fltMin: 0.1 ether,
            fltMax: FLT_MAX,
            usdcMin: 1e6,
            usdcMax: USDC_MAX
        });
        place(OUTBOX_AT, abi.encodePacked(type(WithdrawalOutbox).creationCode, abi.encode(o)));
    }

    /// @dev As a genesis does: the constructor runs at the address, its storage
    /// stays, its result becomes the code.
    function place(address at, bytes memory creation) internal {
        vm.etch(at, creation);
        (bool ok, bytes memory runtime) = at.call("");
        require(ok && runtime.length > 0, "constructor failed");
        vm.etch(at, runtime);
    }

    function rootId() internal view returns (SubnetID memory id) {
        // forge-lint: disable-next-line(unsafe-typecast)
        id.root = uint64(block.chainid);
    }

    function subnetId() internal view returns (SubnetID memory id) {
        // forge-lint: disable-next-line(unsafe-typecast)
        id.root = uint64(block.chainid);
        id.route = new address[](1);
        id.route[0] = address(actor);
    }

    // ---- the carrier

    /// @dev Files what was committed on either side since the last call.
    function collect() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics.length == 0) continue;
            file(logs[i]);
            bytes32 topic = logs[i].topics[0];
            if (logs[i].emitter == address(gateway) && topic == IGateway.NewTopDownMessage.selector) {
                down.push(logs[i].data);
            }
            if (logs[i].emitter == GATEWAY_AT && topic == ISubnetGateway.BottomUpMessage.selector) {
                up.push(logs[i].data);
            }
        }
    }

    /// @dev For who carries more than IPC's messages.
    function file(Vm.Log memory log) internal virtual {}

    /// @dev Attests the root as it is and delivers all there is.
    function carryDown() internal {
        collect();
        (uint64 nonce,) = subnet.appliedTopDown();
        if (nonce == down.length) return;
        attest();
        IpcEnvelope[] memory messages = new IpcEnvelope[](down.length - nonce);
        for (uint256 i = 0; i < messages.length; ++i) {
            messages[i] = abi.decode(down[nonce + i], (IpcEnvelope));
        }
        vm.prank(relayer);
        subnet.deliver(messages, new bytes32[](0));
        collect();
    }

    function attest() internal {
        ParentFinality memory s;
        s.signerConfig = subnet.appliedConfigurationNumber();
        s.parentHeight = subnet.latestParentFinality().parentHeight + 1;
        s.parentHash = keccak256(abi.encode("block", s.parentHeight));
        (s.topDownNonce, s.topDownHash) = gateway.getTopDownHash(subnetId());
        (s.powerChangeNonce, s.powerChangeHash) = gateway.getPowerChangeHash(subnetId());
        bytes32 body = keccak256(
            abi.encode(
                keccak256(
                    "ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
                ),
                s
            )
        );
        (address[] memory who, bytes[] memory signatures) =
            sign(keccak256(abi.encodePacked(hex"1901", subnet.domainSeparator(), body)));
        vm.prank(relayer);
        subnet.commitParentFinality(s, who, signatures);
    }

    /// @dev Closes the epoch, submits its checkpoint and executes its messages.
    function carryUp() internal {
        (uint256 height, Inclusion[] memory inclusions) = submit();
        if (inclusions.length == 0) return;
        vm.prank(relayer);
        actor.execBottomUpMsgBatch(height, inclusions);
        executed += inclusions.length;
        collect();
    }

    function submit() internal returns (uint256 height, Inclusion[] memory inclusions) {
        collect();
        height = actor.lastBottomUpCheckpointHeight() + PERIOD;
        // Epochs before the one in which messages were sent are empty.
        while (height < (block.number / PERIOD + 1) * PERIOD) {
            _checkpoint(height, 0, 0);
            height += PERIOD;
        }
        inclusions = _prove();
        bytes32 root = inclusions.length == 0 ? bytes32(0) : merkleRoot;
        (, uint64 count,) = subnet.bottomUpBatchInfo(height);
        vm.assertEq(uint256(count), inclusions.length);
        vm.roll(height);
        vm.warp(block.timestamp + PERIOD);
        _checkpoint(height, count, root);
    }

    function _checkpoint(uint256 height, uint64 count, bytes32 root) private {
        BottomUpCheckpoint memory c;
        c.subnetID = subnetId();
        c.blockHeight = height;
        c.blockHash = keccak256(abi.encode("subnet", height));
        c.msgs = Commitment(count, root);
        (address[] memory who, bytes[] memory signatures) = sign(keccak256(abi.encode(c)));
        vm.prank(relayer);
        actor.submitCheckpoint(c, who, signatures);
    }

    function sign(bytes32 digest) internal view returns (address[] memory who, bytes[] memory signatures) {
        // Three of four carry more than two thirds.
        who = new address[](3);
        signatures = new bytes[](3);
        for (uint256 i = 0; i < 3; ++i) {
            who[i] = vm.addr(keys[i]);
            signatures[i] = signature(keys[i], digest);
        }
    }

    bytes32 private merkleRoot;

    /// @dev The batch of messages not yet executed, with its proofs: a tree as
    /// StandardMerkleTree builds it.
    function _prove() private returns (Inclusion[] memory inclusions) {
        uint256 n = up.length - executed;
        inclusions = new Inclusion[](n);
        if (n == 0) return inclusions;
        bytes32[] memory leaves = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) {
            inclusions[i].msg = abi.decode(up[executed + i], (IpcEnvelope));
            leaves[i] = Envelopes.leaf(inclusions[i].msg);
        }
        bytes32[] memory sorted = abi.decode(abi.encode(leaves), (bytes32[]));
        for (uint256 i = 1; i < n; ++i) {
            for (uint256 j = i; j > 0 && sorted[j] < sorted[j - 1]; --j) {
                (sorted[j], sorted[j - 1]) = (sorted[j - 1], sorted[j]);
            }
        }
        bytes32[] memory tree = new bytes32[](2 * n - 1);
        for (uint256 i = 0; i < n; ++i) {
            tree[tree.length - 1 - i] = sorted[i];
        }
        for (uint256 i = n - 1; i > 0; --i) {
            tree[i - 1] = _pair(tree[2 * i - 1], tree[2 * i]);
        }
        merkleRoot = tree[0];
        for (uint256 i = 0; i < n; ++i) {
            inclusions[i].proof = _path(tree, leaves[i]);
        }
    }

    function _path(bytes32[] memory tree, bytes32 leaf) private pure returns (bytes32[] memory proof) {
        uint256 at = tree.length - 1;
        while (tree[at] != leaf) --at;
        proof = new bytes32[](64);
        uint256 depth;
        for (; at > 0; at = (at - 1) / 2) {
            proof[depth++] = tree[at % 2 == 1 ? at + 1 : at - 1];
        }
        assembly ("memory-safe") {
            mstore(proof, depth)
        }
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
    }

    // ---- users

    function depositFlt(address to, uint256 amount) internal {
        vm.startPrank(alice);
        flt.approve(address(gateway), amount);
        gateway.fundWithToken(subnetId(), _fvm(to), amount);
        vm.stopPrank();
    }

    function depositUsdc(address to, uint256 amount) internal {
        usdc.mint(alice, amount);
        vm.startPrank(alice);
        usdc.approve(address(controller), amount);
        controller.linkedTransfer(to, amount);
        vm.stopPrank();
    }

    function withdraw(address from, address token, uint256 amount, address to)
        internal
        returns (Withdrawal memory w)
    {
        WithdrawalRequest memory r;
        r.token = token;
        r.amount = amount;
        r.recipient = to;
        r.fallbackRecipient = carol;
        uint64 nonce = outbox.nonce();
        uint256 value = (token == address(flt) ? amount : 0) + FEE;
        vm.prank(from);
        outbox.withdraw{value: value}(r);
        w.subnetKey = keccak256(abi.encode(subnetId()));
        w.outbox = OUTBOX_AT;
        w.nonce = nonce;
        w.token = token;
        w.sender = from;
        w.recipient = to;
        w.fallbackRecipient = carol;
        w.gross = amount;
        // forge-lint: disable-next-line(unsafe-typecast)
        w.height = uint64(block.number);
        if (token == address(usdc)) usdcWithdrawals.push(w);
    }

    /// @dev USDC burnt in withdrawals that came back and were not sent again.
    function heldUsdc() internal view returns (uint256 held) {
        for (uint256 i = 0; i < usdcWithdrawals.length; ++i) {
            if (outbox.stateOf(outbox.withdrawalId(usdcWithdrawals[i])) == 1) {
                held += usdcWithdrawals[i].gross;
            }
        }
    }

    function _fvm(address a) internal pure returns (FvmAddress memory f) {
        f.addrType = 4;
        f.payload = abi.encode(DelegatedAddress(10, 20, abi.encodePacked(a)));
    }

    /// @dev What the two sides hold agrees, to the unit.
    function books() internal view {
        IGateway.Counters memory r = gateway.getCounters(subnetId());
        ISubnetGateway.Counters memory s = subnet.getCounters();
        // Supply as the root sees it = coin out of the treasury.
        (, Subnet memory info) = gateway.getSubnet(subnetId());
        vm.assertEq(info.circSupply, r.preFunded + r.locked + r.relocked - r.unlocked);
        vm.assertEq(info.circSupply, s.preFunded + s.released - s.returned, "FLT");
        vm.assertEq(
            flt.balanceOf(address(gateway)), info.circSupply + r.credited - r.creditsPaid, "locked FLT"
        );
        vm.assertEq(controller.lockedNow(), replica.totalSupply() + heldUsdc(), "USDC");
        vm.assertEq(fast.fltReceived() - fast.fltPaid(), flt.balanceOf(address(fast)), "owed FLT");
        vm.assertEq(OUTBOX_AT.balance, outbox.heldFlt(), "held FLT");
    }
}
