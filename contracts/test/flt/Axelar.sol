// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base} from "../Base.sol";

struct WeightedSigner {
    address signer;
    uint128 weight;
}

struct WeightedSigners {
    WeightedSigner[] signers;
    uint128 threshold;
    bytes32 nonce;
}

struct Proof {
    WeightedSigners signers;
    bytes[] signatures;
}

struct Message {
    string sourceChain;
    string messageId;
    string sourceAddress;
    address contractAddress;
    bytes32 payloadHash;
}

interface IAmplifierGateway {
    function approveMessages(Message[] calldata messages, Proof calldata proof) external;
    function isMessageApproved(
        string calldata sourceChain,
        string calldata messageId,
        string calldata sourceAddress,
        address contractAddress,
        bytes32 payloadHash
    ) external view returns (bool);
}

interface ILegacyGateway {
    function execute(bytes calldata input) external;
    function isContractCallApproved(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        address contractAddress,
        bytes32 payloadHash
    ) external view returns (bool);
}

interface IService {
    function execute(
        bytes32 commandId,
        string calldata sourceChain,
        string calldata sourceAddress,
        bytes calldata payload
    ) external;
    function interchainTransfer(
        bytes32 tokenId,
        string calldata destinationChain,
        bytes calldata destinationAddress,
        uint256 amount,
        bytes calldata metadata,
        uint256 gasValue
    ) external payable;
    function registeredTokenAddress(bytes32 tokenId) external view returns (address);
    function tokenManagerAddress(bytes32 tokenId) external view returns (address);
    function setFlowLimits(bytes32[] calldata tokenIds, uint256[] calldata limits) external;
    function setPauseStatus(bool paused) external;
    // 2.2.0
    function setTrustedChain(string calldata chain) external;
    function removeTrustedChain(string calldata chain) external;
    // 2.1.1
    function setTrustedAddress(string calldata chain, string calldata account) external;
    function removeTrustedAddress(string calldata chain) external;
}

interface IFactory {
    function registerCanonicalInterchainToken(address token) external payable returns (bytes32 tokenId);
    function deployRemoteCanonicalInterchainToken(
        address token,
        string calldata destinationChain,
        uint256 gasValue
    ) external payable returns (bytes32 tokenId);
}

interface ICreate3 {
    function deploy(bytes calldata bytecode, bytes32 salt) external payable returns (address);
    function deployedAddress(bytes calldata bytecode, address sender, bytes32 salt)
        external
        view
        returns (address);
}

interface IGasProxy {
    function init(address implementation, address owner, bytes calldata params) external;
}

interface IOwned {
    function transferOwnership(address owner) external;
}

/// @dev One chain's part of Axelar, made of the published bytecode.
abstract contract Axelar is Base {
    string internal constant HUB_CHAIN = "axelar";
    string internal constant HUB = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr";
    string private constant GMP = "axelar-gmp-sdk-solidity/artifacts/contracts/";
    string private constant CGP = "axelar-cgp-solidity/artifacts/contracts/";
    string private constant ITS_2_2_0 = "interchain-token-service/artifacts/contracts/";
    string private constant ITS_2_1_1 = "interchain-token-service-2.1.1/artifacts/contracts/";
    bytes32 private constant SALT_ITS = keccak256("ITS");
    bytes32 private constant SALT_FACTORY = keccak256("factory");

    struct Stack {
        string name;
        uint256 chainId;
        bool legacy; // gateway
        bool old; // service 2.1.1
        bytes32 domain;
        address gateway;
        address gasService;
        ICreate3 create3;
        IService its;
        IFactory factory;
    }

    /// @dev Three, of which two must sign; ascending by address.
    uint256[] internal approvers;

    function makeApprovers() internal {
        for (uint256 i = 0; i < 3; ++i) {
            (, uint256 key) = makeAddrAndKey(string.concat("approver ", vm.toString(i)));
            approvers.push(key);
            for (uint256 j = i; j > 0 && vm.addr(approvers[j]) < vm.addr(approvers[j - 1]); --j) {
                (approvers[j], approvers[j - 1]) = (approvers[j - 1], approvers[j]);
            }
        }
    }

    function buildStack(Stack memory s, string memory peer) internal returns (Stack memory) {
        s.domain = keccak256(abi.encodePacked(s.name, "router", "devnet"));
        s.gateway = s.legacy ? _legacyGateway() : _amplifierGateway(s.domain);
        s.gasService = _make(CGP, "gas-service/AxelarGasServiceProxy.sol/AxelarGasServiceProxy", "");
        address collector =
            _make(CGP, "gas-service/AxelarGasService.sol/AxelarGasService", abi.encode(address(this)));
        IGasProxy(s.gasService).init(collector, address(this), "");

        s.create3 = ICreate3(_make(GMP, "deploy/Create3Deployer.sol/Create3Deployer", ""));
        s.its = IService(s.create3.deployedAddress("", address(this), SALT_ITS));
        s.factory = IFactory(s.create3.deployedAddress("", address(this), SALT_FACTORY));
        _proxy(s, _service(s), _setup(s, peer), SALT_ITS);
        // After the proxy, whose chain name it reads.
        string memory from = s.old ? ITS_2_1_1 : ITS_2_2_0;
        address factory =
            _make(from, "InterchainTokenFactory.sol/InterchainTokenFactory", abi.encode(address(s.its)));
        _proxy(s, factory, "", SALT_FACTORY);
        return s;
    }

    function _service(Stack memory s) private returns (address) {
        string memory from = s.old ? ITS_2_1_1 : ITS_2_2_0;
        address token =
            _make(from, "interchain-token/InterchainToken.sol/InterchainToken", abi.encode(address(s.its)));
        bytes memory head = abi.encode(
            _make(from, "utils/TokenManagerDeployer.sol/TokenManagerDeployer", ""),
            _make(from, "utils/InterchainTokenDeployer.sol/InterchainTokenDeployer", abi.encode(token)),
            s.gateway,
            s.gasService,
            address(s.factory)
        );
        address manager =
            _make(from, "token-manager/TokenManager.sol/TokenManager", abi.encode(address(s.its)));
        address tokenHandler = _make(from, "TokenHandler.sol/TokenHandler", "");
        bytes memory args;
        // Nine words either way, then the strings.
        if (s.old) {
            address caller =
                _make(from, "utils/GatewayCaller.sol/GatewayCaller", abi.encode(s.gateway, s.gasService));
            args = bytes.concat(
                head, abi.encode(uint256(9 * 32), manager, tokenHandler, caller), _string(s.name)
            );
        } else {
            uint256 second = 9 * 32 + _string(s.name).length;
            args = bytes.concat(
                head,
                abi.encode(uint256(9 * 32), second, manager, tokenHandler),
                _string(s.name),
                _string(HUB)
            );
        }
        return _make(from, "InterchainTokenService.sol/InterchainTokenService", args);
    }

    /// @dev Length and padded bytes, as a string stands in a tail.
    function _string(string memory text) private pure returns (bytes memory tail) {
        tail = abi.encode(text);
        // Without the offset.
        assembly ("memory-safe") {
            mstore(add(tail, 0x20), sub(mload(tail), 0x20))
            tail := add(tail, 0x20)
        }
    }

    function _setup(Stack memory s, string memory peer) private view returns (bytes memory) {
        if (!s.old) {
            string[] memory trusted = new string[](1);
            trusted[0] = peer;
            return abi.encode(address(this), s.name, trusted);
        }
        string[] memory chains = new string[](2);
        string[] memory accounts = new string[](2);
        (chains[0], accounts[0]) = (peer, "hub");
        (chains[1], accounts[1]) = (HUB_CHAIN, HUB);
        return abi.encode(address(this), s.name, chains, accounts);
    }

    function _proxy(Stack memory s, address implementation, bytes memory setup, bytes32 salt) private {
        string memory path =
            _path(s.old ? ITS_2_1_1 : ITS_2_2_0, "proxies/InterchainProxy.sol/InterchainProxy");
        bytes memory args = abi.encode(implementation, address(this), setup);
        s.create3.deploy(bytes.concat(vm.getCode(path), args), salt);
    }

    function _amplifierGateway(bytes32 domain) private returns (address) {
        WeightedSigners[] memory sets = new WeightedSigners[](1);
        sets[0] = signerSet();
        address implementation = _make(
            GMP,
            "gateway/AxelarAmplifierGateway.sol/AxelarAmplifierGateway",
            abi.encode(uint256(1), domain, uint256(3600))
        );
        return _make(
            GMP,
            "gateway/AxelarAmplifierGatewayProxy.sol/AxelarAmplifierGatewayProxy",
            abi.encode(implementation, address(this), abi.encode(address(this), sets))
        );
    }

    function _legacyGateway() private returns (address gateway) {
        bytes[] memory sets = new bytes[](1);
        (address[] memory accounts, uint256[] memory weights) = _operators();
        sets[0] = abi.encode(accounts, weights, uint256(2));
        address auth = _make(CGP, "auth/AxelarAuthWeighted.sol/AxelarAuthWeighted", abi.encode(sets));
        address tokens = _make(CGP, "TokenDeployer.sol/TokenDeployer", "");
        address implementation = _make(CGP, "AxelarGateway.sol/AxelarGateway", abi.encode(auth, tokens));
        bytes memory setup = abi.encode(address(this), address(this), bytes(""));
        gateway = _make(CGP, "AxelarGatewayProxy.sol/AxelarGatewayProxy", abi.encode(implementation, setup));
        IOwned(auth).transferOwnership(gateway);
    }

    function _path(string memory package, string memory contract_) private pure returns (string memory) {
        return string.concat("node_modules/@axelar-network/", package, contract_, ".json");
    }

    function _make(string memory package, string memory contract_, bytes memory args)
        private
        returns (address made)
    {
        bytes memory code = bytes.concat(vm.getCode(_path(package, contract_)), args);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), contract_);
    }

    // ---- approvals

    function signerSet() internal view returns (WeightedSigners memory set) {
        set.signers = new WeightedSigner[](3);
        for (uint256 i = 0; i < 3; ++i) {
            set.signers[i] = WeightedSigner(vm.addr(approvers[i]), 1);
        }
        set.threshold = 2;
        set.nonce = keccak256("set");
    }

    function _operators() private view returns (address[] memory accounts, uint256[] memory weights) {
        accounts = new address[](3);
        weights = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) {
            (accounts[i], weights[i]) = (vm.addr(approvers[i]), 1);
        }
    }

    /// @dev How messages are named on a gateway once they are approved.
    function commandIdOf(Stack memory s, string memory messageId) internal pure returns (bytes32) {
        if (!s.legacy) return keccak256(abi.encodePacked(HUB_CHAIN, "_", messageId));
        bytes memory id;
        for (uint256 left = s.chainId; left > 0; left >>= 8) {
            // forge-lint: disable-next-line(unsafe-typecast) its last byte
            id = bytes.concat(bytes1(uint8(left)), id);
        }
        return keccak256(abi.encodePacked(messageId, id));
    }

    /// @dev Signed by these two, which a forger changes.
    function approve(Stack memory s, string memory messageId, bytes32 payloadHash, uint256[] memory by)
        internal
    {
        if (s.legacy) _approveLegacy(s, messageId, payloadHash, by);
        else _approveAmplifier(s, messageId, payloadHash, by);
    }

    function _approveAmplifier(
        Stack memory s,
        string memory messageId,
        bytes32 payloadHash,
        uint256[] memory by
    ) private {
        Message[] memory messages = new Message[](1);
        messages[0] = Message(HUB_CHAIN, messageId, HUB, address(s.its), payloadHash);
        Proof memory proof;
        proof.signers = signerSet();
        bytes32 digest = keccak256(
            bytes.concat(
                "\x19Ethereum Signed Message:\n96",
                s.domain,
                keccak256(abi.encode(proof.signers)),
                keccak256(abi.encode(uint8(0), messages))
            )
        );
        proof.signatures = _signed(by, digest);
        IAmplifierGateway(s.gateway).approveMessages(messages, proof);
    }

    function _approveLegacy(Stack memory s, string memory messageId, bytes32 payloadHash, uint256[] memory by)
        private
    {
        bytes32[] memory ids = new bytes32[](1);
        string[] memory commands = new string[](1);
        bytes[] memory params = new bytes[](1);
        ids[0] = commandIdOf(s, messageId);
        commands[0] = "approveContractCall";
        params[0] = abi.encode(HUB_CHAIN, HUB, address(s.its), payloadHash, bytes32(0), uint256(0));
        bytes memory data = abi.encode(s.chainId, ids, commands, params);
        bytes32 digest = keccak256(bytes.concat("\x19Ethereum Signed Message:\n32", keccak256(data)));
        (address[] memory accounts, uint256[] memory weights) = _operators();
        bytes memory proof = abi.encode(accounts, weights, uint256(2), _signed(by, digest));
        ILegacyGateway(s.gateway).execute(abi.encode(data, proof));
    }

    function _signed(uint256[] memory by, bytes32 digest) private pure returns (bytes[] memory signatures) {
        signatures = new bytes[](by.length);
        for (uint256 i = 0; i < by.length; ++i) {
            signatures[i] = signature(by[i], digest);
        }
    }

    /// @dev Approved and not yet executed?
    function isPending(Stack memory s, string memory messageId, bytes32 payloadHash)
        internal
        view
        returns (bool)
    {
        if (s.legacy) {
            return ILegacyGateway(s.gateway)
                .isContractCallApproved(
                    commandIdOf(s, messageId), HUB_CHAIN, HUB, address(s.its), payloadHash
                );
        }
        return IAmplifierGateway(s.gateway)
            .isMessageApproved(HUB_CHAIN, messageId, HUB, address(s.its), payloadHash);
    }
}
