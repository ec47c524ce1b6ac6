// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Base} from "./Base.sol";

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

interface IGasProxy {
    function init(address implementation, address owner, bytes calldata params) external;
}

interface IOwned {
    function transferOwnership(address owner) external;
}

interface IPausable {
    function setPauseStatus(bool paused) external;
}

/// @dev Gateways of either make and the gas service, of the published bytecode;
/// three approvers, of whom two sign.
abstract contract AxelarGateways is Base {
    string private constant GMP = "axelar-gmp-sdk-solidity/artifacts/contracts/";
    string private constant CGP = "axelar-cgp-solidity/artifacts/contracts/";

    /// @dev One chain's part of Axelar.
    struct Site {
        string name;
        uint256 chainId;
        bool legacy;
        bytes32 domain;
        address gateway;
    }

    /// @dev What is approved.
    struct Approval {
        string sourceChain;
        string messageId;
        string sourceAddress;
        address to;
        bytes32 payloadHash;
    }

    /// @dev Three, of which two must sign; ascending by address.
    uint256[] internal approvers;

    function buildSite(Site memory s) internal returns (Site memory) {
        s.domain = keccak256(abi.encodePacked(s.name, "router", "devnet"));
        s.gateway = s.legacy ? _legacyGateway() : _amplifierGateway(s.domain);
        return s;
    }

    function buildGasService() internal returns (address service) {
        service = make(CGP, "gas-service/AxelarGasServiceProxy.sol/AxelarGasServiceProxy", "");
        address implementation =
            make(CGP, "gas-service/AxelarGasService.sol/AxelarGasService", abi.encode(address(this)));
        IGasProxy(service).init(implementation, address(this), "");
    }

    function makeApprovers() internal {
        for (uint256 i = 0; i < 3; ++i) {
            (, uint256 key) = makeAddrAndKey(string.concat("approver ", vm.toString(i)));
            approvers.push(key);
            for (uint256 j = i; j > 0 && vm.addr(approvers[j]) < vm.addr(approvers[j - 1]); --j) {
                (approvers[j], approvers[j - 1]) = (approvers[j - 1], approvers[j]);
            }
        }
    }

    function _amplifierGateway(bytes32 domain) private returns (address) {
        WeightedSigners[] memory sets = new WeightedSigners[](1);
        sets[0] = _signerSet();
        address implementation = make(
            GMP,
            "gateway/AxelarAmplifierGateway.sol/AxelarAmplifierGateway",
            abi.encode(uint256(1), domain, uint256(3600))
        );
        return make(
            GMP,
            "gateway/AxelarAmplifierGatewayProxy.sol/AxelarAmplifierGatewayProxy",
            abi.encode(implementation, address(this), abi.encode(address(this), sets))
        );
    }

    function _legacyGateway() private returns (address gateway) {
        bytes[] memory sets = new bytes[](1);
        (address[] memory accounts, uint256[] memory weights) = _operators();
        sets[0] = abi.encode(accounts, weights, uint256(2));
        address auth = make(CGP, "auth/AxelarAuthWeighted.sol/AxelarAuthWeighted", abi.encode(sets));
        address tokens = make(CGP, "TokenDeployer.sol/TokenDeployer", "");
        address implementation = make(CGP, "AxelarGateway.sol/AxelarGateway", abi.encode(auth, tokens));
        bytes memory setup = abi.encode(address(this), address(this), bytes(""));
        gateway = make(CGP, "AxelarGatewayProxy.sol/AxelarGatewayProxy", abi.encode(implementation, setup));
        IOwned(auth).transferOwnership(gateway);
    }

    function artifact(string memory package, string memory contract_) internal pure returns (string memory) {
        return string.concat("node_modules/@axelar-network/", package, contract_, ".json");
    }

    function make(string memory package, string memory contract_, bytes memory args)
        internal
        returns (address made)
    {
        bytes memory code = bytes.concat(vm.getCode(artifact(package, contract_)), args);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), contract_);
    }

    function _signerSet() private view returns (WeightedSigners memory set) {
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

    /// @dev How a message is named on a gateway once it is approved.
    function commandIdOf(Site memory s, Approval memory a) internal pure returns (bytes32) {
        if (!s.legacy) return keccak256(abi.encodePacked(a.sourceChain, "_", a.messageId));
        bytes memory id;
        for (uint256 left = s.chainId; left > 0; left >>= 8) {
            // forge-lint: disable-next-line(unsafe-typecast) its last byte
            id = bytes.concat(bytes1(uint8(left)), id);
        }
        return keccak256(abi.encodePacked(a.messageId, id));
    }

    function two() internal view returns (uint256[] memory by) {
        by = new uint256[](2);
        (by[0], by[1]) = (approvers[0], approvers[1]);
    }

    /// @dev Signed by these, whom a forger changes.
    function approveAt(Site memory s, Approval memory a, uint256[] memory by) internal {
        if (s.legacy) _approveLegacy(s, a, by);
        else _approveAmplifier(s, a, by);
    }

    function isApproved(Site memory s, Approval memory a) internal view returns (bool) {
        if (s.legacy) {
            return ILegacyGateway(s.gateway)
                .isContractCallApproved(
                    commandIdOf(s, a), a.sourceChain, a.sourceAddress, a.to, a.payloadHash
                );
        }
        return IAmplifierGateway(s.gateway)
            .isMessageApproved(a.sourceChain, a.messageId, a.sourceAddress, a.to, a.payloadHash);
    }

    function _approveAmplifier(Site memory s, Approval memory a, uint256[] memory by) private {
        Message[] memory messages = new Message[](1);
        messages[0] = Message(a.sourceChain, a.messageId, a.sourceAddress, a.to, a.payloadHash);
        Proof memory proof;
        proof.signers = _signerSet();
        proof.signatures = _signed(
            by,
            keccak256(
                bytes.concat(
                    "\x19Ethereum Signed Message:\n96",
                    s.domain,
                    keccak256(abi.encode(proof.signers)),
                    keccak256(abi.encode(uint8(0), messages))
                )
            )
        );
        IAmplifierGateway(s.gateway).approveMessages(messages, proof);
    }

    function _approveLegacy(Site memory s, Approval memory a, uint256[] memory by) private {
        bytes32[] memory ids = new bytes32[](1);
        string[] memory commands = new string[](1);
        bytes[] memory params = new bytes[](1);
        ids[0] = commandIdOf(s, a);
        commands[0] = "approveContractCall";
        params[0] = abi.encode(a.sourceChain, a.sourceAddress, a.to, a.payloadHash, bytes32(0), uint256(0));
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
}
