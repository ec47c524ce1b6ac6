package main

// Published is a figure of the contracts this bridge's ABI comes from.
type Published struct {
	PerMessage uint64 `json:"gas_per_message"`
	Operation  string `json:"operation"`
}

// publishedSource names where the figures below come from.
const publishedSource = "published generation C contracts (commit bbb25964), gasUsed from receipts on anvil: 4 validators, 3 signatures, " +
	"period 10, ERC-20 supply token, solc 0.8.23, optimizer 200, legacy codegen"

// row names a row of the gas table.
type row struct {
	operation, asset string
	batch            int
}

// published has what the published contracts cost for the nearest operation;
// where theirs is of another kind than ours, its name says so.
var published = map[row]Published{
	{"deposit", "FLT", 1}:  {134_690, "fundWithToken, later"},
	{"deposit", "USDC", 1}: {983_317, "linkedTransfer deposit, later"},

	{"deliver", "FLT", 1}:   {782_653, "applyCrossMessages, Transfer, fresh recipient, batch open (886,800 as the first of its batch)"},
	{"deliver", "FLT", 10}:  {738_635, "applyCrossMessages, 10 Transfers, fresh recipients"},
	{"deliver", "FLT", 50}:  {729_629, "applyCrossMessages, 50 Transfers, fresh recipients"},
	{"deliver", "USDC", 1}:  {862_472, "applyCrossMessages, linked-token Call, new holder, batch open"},
	{"deliver", "USDC", 10}: {800_869, "applyCrossMessages, 10 linked-token Calls, new holders"},

	{"withdraw", "FLT", 1}:                     {585_652, "release, later in the batch; ours goes through the outbox"},
	{"withdraw, first of a period", "FLT", 1}:  {689_799, "release, first of a batch; ours goes through the outbox"},
	{"withdraw", "USDC", 1}:                    {1_601_523, "linkedTransfer withdraw, later in the batch"},
	{"withdraw, first of a period", "USDC", 1}: {1_705_670, "linkedTransfer withdraw, first of a batch"},
	{"release", "FLT", 1}:                      {585_652, "release, later in the batch"},
	{"release, first of a period", "FLT", 1}:   {689_799, "release, first of a batch"},

	{"exec", "FLT", 1}:          {312_154, "execBottomUpMsgBatch, Transfer; ours is a Call that settles and pays"},
	{"exec", "FLT", 10}:         {221_771, "execBottomUpMsgBatch, 10 Transfers; ours are Calls that settle and pay"},
	{"exec", "FLT", 50}:         {224_373, "execBottomUpMsgBatch, 50 Transfers; ours are Calls that settle and pay"},
	{"exec", "USDC", 1}:         {350_447, "execBottomUpMsgBatch, linked-token Call, fresh receiver"},
	{"exec", "USDC", 10}:        {251_571, "execBottomUpMsgBatch, 10 linked-token Calls, fresh receivers"},
	{"exec release", "FLT", 1}:  {312_154, "execBottomUpMsgBatch, Transfer, fresh recipient"},
	{"exec release", "FLT", 10}: {221_771, "execBottomUpMsgBatch, 10 Transfers, fresh recipients"},
	{"exec release", "FLT", 50}: {224_373, "execBottomUpMsgBatch, 50 Transfers, fresh recipients"},

	{"submitCheckpoint, empty", "", 1}:         {402_813, "submitCheckpoint, empty, later, 3 signatures"},
	{"submitCheckpoint, with messages", "", 1}: {554_334, "submitCheckpoint, any number of messages, 3 signatures"},
}
