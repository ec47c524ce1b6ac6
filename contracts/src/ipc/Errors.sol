// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {InvalidXnetMessageReason} from "./Types.sol";

// Errors of generation C, by their published names and arguments.
error AlreadyRegisteredSubnet();
error BatchMsgAlreadyExecuted();
error BottomUpCheckpointAlreadySubmitted();
error CannotConfirmFutureChanges();
error CollateralIsZero();
error DuplicatedGenesisValidator();
error EmptyAddress();
error GatewayCannotBeZero();
error InvalidCheckpointEpoch();
error InvalidCheckpointSource();
error InvalidCollateral();
error InvalidFederationPayload();
error InvalidInclusionProof();
error InvalidMajorityPercentage();
error InvalidPowerScale();
error InvalidPublicKeyLength();
error InvalidSubmissionPeriod();
error InvalidSubnet();
error InvalidSubnetActor();
error InvalidXnetMessage(InvalidXnetMessageReason reason);
error MethodNotAllowed(string reason);
error MissingBatchCommitment();
error MissingGenesisSubnetIpcContractsOwner();
error NoCollateralToWithdraw();
error NotAllValidatorsHaveLeft();
error NotAuthorized(address account);
error NotEmptySubnetCircSupply();
error NotEnoughBalance();
error NotEnoughCollateral();
error NotEnoughFunds();
error NotEnoughFundsToRelease();
error NotEnoughGenesisValidators();
error NotOwnerOfPublicKey();
error NotRegisteredSubnet();
error NotGateway();
error ReentrancyError();
error SubnetAlreadyBootstrapped();
error SubnetAlreadyKilled();
error SubnetNotBootstrapped();
error SubnetNotFound();

// Ours.
/// @dev The funding is outside the gateway's bounds.
error AmountOutOfBounds(uint256 amount, uint256 min, uint256 max);
/// @dev The bootstrap block's hash is not recorded yet; see recordBootstrap.
error BootstrapNotRecorded();
error BootstrapAlreadyRecorded();
/// @dev Record in a later block, within 256.
error BootstrapTooEarly();
error BootstrapWindowMissed();
error BootstrapWindowOpen();
/// @dev A batch of a lower height is not executed yet.
error BatchOutOfOrder(uint256 height, uint256 first);
error EnvelopeTooLarge(uint256 size);
error ForbiddenRecipient(address account);
/// @dev The caller left too little gas for the handler; give the transaction more.
error InsufficientGas(uint256 required);
error InvalidPublicKey();
error InvalidActiveValidatorsLimit();
error NothingToWithdraw();
error NotQuarantined();
/// @dev The message still cannot be applied.
error StillQuarantined();
/// @dev Contracts exchanged calls with the subnet: they may owe what circulates in
/// no book of the gateway, a token in escrow for instance.
error SubnetInUse();
error PowerTooLarge();
/// @dev No checkpoint for longer than the gateway tolerates (PROTOCOL 27).
error SubnetSilent(uint256 lastActive);
error TooManyUnconfirmedChanges();
error TooManyValidators();
/// @dev The timelock of the recovery runs until then.
error RecoveryNotReady(uint256 readyAt);
/// @dev Numbers ascend by one with every proposal, withdrawn ones too.
error RecoveryNumber(uint64 expected);
/// @dev A recovery waits already: it is executed or withdrawn first.
error RecoveryPending(uint64 number);
/// @dev No recovery of this number waits.
error NoRecovery(uint64 number);
/// @dev The prefix goes beyond what the root itself has sent, or contradicts it.
error PrefixAboveRoot();
