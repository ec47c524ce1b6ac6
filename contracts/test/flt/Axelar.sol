// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AxelarGateways} from "../AxelarGateways.sol";

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

/// @dev One chain's part of Axelar, made of the published bytecode.
abstract contract Axelar is AxelarGateways {
    string internal constant HUB_CHAIN = "axelar";
    string internal constant HUB = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr";
    string private constant GMP = "axelar-gmp-sdk-solidity/artifacts/contracts/";
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

    function buildStack(Stack memory s, string memory peer) internal returns (Stack memory) {
        Site memory site = buildSite(_site(s));
        (s.domain, s.gateway) = (site.domain, site.gateway);
        s.gasService = buildGasService();

        s.create3 = ICreate3(make(GMP, "deploy/Create3Deployer.sol/Create3Deployer", ""));
        s.its = IService(s.create3.deployedAddress("", address(this), SALT_ITS));
        s.factory = IFactory(s.create3.deployedAddress("", address(this), SALT_FACTORY));
        _proxy(s, _service(s), _setup(s, peer), SALT_ITS);
        // After the proxy, whose chain name it reads.
        string memory from = s.old ? ITS_2_1_1 : ITS_2_2_0;
        address factory =
            make(from, "InterchainTokenFactory.sol/InterchainTokenFactory", abi.encode(address(s.its)));
        _proxy(s, factory, "", SALT_FACTORY);
        return s;
    }

    function _service(Stack memory s) private returns (address) {
        string memory from = s.old ? ITS_2_1_1 : ITS_2_2_0;
        address token =
            make(from, "interchain-token/InterchainToken.sol/InterchainToken", abi.encode(address(s.its)));
        bytes memory head = abi.encode(
            make(from, "utils/TokenManagerDeployer.sol/TokenManagerDeployer", ""),
            make(from, "utils/InterchainTokenDeployer.sol/InterchainTokenDeployer", abi.encode(token)),
            s.gateway,
            s.gasService,
            address(s.factory)
        );
        address manager =
            make(from, "token-manager/TokenManager.sol/TokenManager", abi.encode(address(s.its)));
        address tokenHandler = make(from, "TokenHandler.sol/TokenHandler", "");
        bytes memory args;
        // Nine words either way, then the strings.
        if (s.old) {
            address caller =
                make(from, "utils/GatewayCaller.sol/GatewayCaller", abi.encode(s.gateway, s.gasService));
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
        return make(from, "InterchainTokenService.sol/InterchainTokenService", args);
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
            artifact(s.old ? ITS_2_1_1 : ITS_2_2_0, "proxies/InterchainProxy.sol/InterchainProxy");
        bytes memory args = abi.encode(implementation, address(this), setup);
        s.create3.deploy(bytes.concat(vm.getCode(path), args), salt);
    }

    // ---- approvals, of what the hub says to the service

    function _site(Stack memory s) private pure returns (Site memory) {
        return
            Site({name: s.name, chainId: s.chainId, legacy: s.legacy, domain: s.domain, gateway: s.gateway});
    }

    function _approval(Stack memory s, string memory messageId, bytes32 payloadHash)
        private
        pure
        returns (Approval memory)
    {
        return Approval({
            sourceChain: HUB_CHAIN,
            messageId: messageId,
            sourceAddress: HUB,
            to: address(s.its),
            payloadHash: payloadHash
        });
    }

    /// @dev How messages are named on a gateway once they are approved.
    function commandIdOf(Stack memory s, string memory messageId) internal pure returns (bytes32) {
        return commandIdOf(_site(s), _approval(s, messageId, 0));
    }

    /// @dev Signed by these two, which a forger changes.
    function approve(Stack memory s, string memory messageId, bytes32 payloadHash, uint256[] memory by)
        internal
    {
        approveAt(_site(s), _approval(s, messageId, payloadHash), by);
    }

    /// @dev Approved and not yet executed?
    function isPending(Stack memory s, string memory messageId, bytes32 payloadHash)
        internal
        view
        returns (bool)
    {
        return isApproved(_site(s), _approval(s, messageId, payloadHash));
    }
}
