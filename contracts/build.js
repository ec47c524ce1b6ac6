#!/usr/bin/env node
// Compiles src/ with the pinned solc into artifacts/combined.json:
//   { "contracts": { "<file>:<Name>": { "abi": [...], "bin": "<hex>" } } }
// The same input gives the same bytes: sources are sorted, no metadata is
// appended. Fails when a deployable contract exceeds the code limit (EIP-170).
// Arguments, if any, name the files or folders to compile instead of src;
// --out=FILE (relative to this folder) is where the artifacts go instead.
"use strict";

const fs = require("fs");
const path = require("path");
const { spawnSync } = require("child_process");

const CODE_LIMIT = 24576; // bytes of runtime code, EIP-170
const root = __dirname;

/** All .sol files below dir, sorted, as paths relative to this folder. */
function sources(dir) {
  const found = [];
  for (const entry of fs.readdirSync(path.join(root, dir), { withFileTypes: true })) {
    const file = `${dir}/${entry.name}`;
    if (entry.isDirectory()) found.push(...sources(file));
    else if (entry.name.endsWith(".sol")) found.push(file);
  }
  return found.sort();
}

/** The settings of foundry.toml, in solc's words. */
const settings = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 120 },
  viaIR: false,
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  remappings: ["@openzeppelin/=node_modules/@openzeppelin/"],
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences", "evm.deployedBytecode.object"] } },
};

/** Adds every imported file to the input, so that solc needs no callback. */
function closure(entries) {
  const files = {};
  const queue = [...entries];
  while (queue.length > 0) {
    const file = queue.pop();
    if (files[file]) continue;
    const content = fs.readFileSync(path.join(root, file), "utf8");
    files[file] = { content };
    for (const match of content.matchAll(/^\s*(?:import|\}\s*from)\b[^;"']*["']([^"']+)["']/gm)) {
      const target = match[1];
      if (target.startsWith(".")) queue.push(path.posix.join(path.posix.dirname(file), target));
      else queue.push(target.replace(/^@openzeppelin\//, "node_modules/@openzeppelin/"));
    }
  }
  const sorted = {};
  for (const file of Object.keys(files).sort()) sorted[file] = files[file];
  return sorted;
}

function main() {
  const args = process.argv.slice(2);
  const out = args.find((arg) => arg.startsWith("--out="))?.slice("--out=".length);
  const wanted = args.filter((arg) => !arg.startsWith("--")).map((arg) => arg.replace(/\/$/, ""));
  const entries = (wanted.length > 0 ? wanted : ["src"])
    .flatMap((name) => (name.endsWith(".sol") ? [name] : sources(name)))
    .sort();
  const input = { language: "Solidity", sources: closure(entries), settings };
  const solc = spawnSync(path.join(root, "bin", "solc"), ["--standard-json"], {
    input: JSON.stringify(input),
    maxBuffer: 1 << 30,
    encoding: "utf8",
  });
  if (solc.status !== 0) {
    process.stderr.write(`solc ended with ${solc.status ?? solc.signal}\n${solc.stderr}`);
    process.exit(1);
  }
  const output = JSON.parse(solc.stdout);
  const errors = (output.errors || []).filter((e) => e.severity === "error");
  for (const e of errors) process.stderr.write(e.formattedMessage + "\n");
  if (errors.length > 0) process.exit(1);

  const contracts = {};
  const sizes = [];
  for (const file of entries) {
    for (const [name, c] of Object.entries(output.contracts[file] || {})) {
      const bin = c.evm.bytecode.object;
      if (Object.keys(c.evm.bytecode.linkReferences).length > 0) {
        process.stderr.write(`${file}:${name} needs a linked library; only internal libraries are supported\n`);
        process.exit(1);
      }
      contracts[`${file}:${name}`] = { abi: c.abi, bin };
      sizes.push({ name, size: c.evm.deployedBytecode.object.length / 2 });
    }
  }
  const sorted = {};
  for (const key of Object.keys(contracts).sort()) sorted[key] = contracts[key];

  const target = path.resolve(root, out ?? "artifacts/combined.json");
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.writeFileSync(target + ".tmp", JSON.stringify({ contracts: sorted }, null, 1) + "\n");
  fs.renameSync(target + ".tmp", target);

  // Interfaces have no code and internal libraries only a stub.
  let tooBig = false;
  for (const { name, size } of sizes.filter((s) => s.size > 100).sort((a, b) => b.size - a.size)) {
    const over = size > CODE_LIMIT;
    tooBig = tooBig || over;
    console.log(`${name.padEnd(26)} ${String(size).padStart(6)} of ${CODE_LIMIT} bytes${over ? "  TOO BIG" : ""}`);
  }
  if (tooBig) process.exit(1);
}

main();
