// Writes what the Python package carries of each contract (or, with --check, compares it with what is committed):
// ABI, creation and runtime code, where immutables stand in it, the compiler's settings and a hash of all sources.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const CONTRACTS = ["MerkleDrop", "RewardDistributor", "RewardMinter", "RewardToken", "TestUSDC", "WalletSignatureCheck"];
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "..", "src", "guerdon", "chains", "artifacts");
const check = process.argv.includes("--check");

execFileSync(join(root, "node_modules", ".bin", "forge"), ["build", "--force", "--skip", "test"], {
  cwd: root,
  stdio: ["ignore", "ignore", "inherit"],
});

/** The sources that a contract is compiled from, hashed by path and content. */
function sourceHash(sources) {
  const hash = createHash("sha256");
  for (const path of Object.keys(sources).sort()) {
    hash.update(`${path}\0`).update(readFileSync(join(root, path))).update("\0");
  }
  return hash.digest("hex");
}

function artifact(name) {
  const built = JSON.parse(readFileSync(join(root, "out", `${name}.sol`, `${name}.json`), "utf8"));
  const metadata = typeof built.metadata === "string" ? JSON.parse(built.metadata) : built.metadata;
  const { optimizer, evmVersion, viaIR } = metadata.settings;
  const immutables = Object.values(built.deployedBytecode.immutableReferences ?? {})
    .flat()
    .map(({ start, length }) => [start, length])
    .sort((a, b) => a[0] - b[0]);
  return `${JSON.stringify({
    contract: name,
    abi: built.abi,
    creation_code: built.bytecode.object,
    runtime_code: built.deployedBytecode.object,
    immutables,
    compiler: metadata.compiler.version,
    settings: { evmVersion, optimizer, viaIR },
    source_hash: sourceHash(metadata.sources),
  })}\n`;
}

const wanted = new Map(CONTRACTS.map((name) => [`${name}.json`, artifact(name)]));
if (check) {
  const present = existsSync(target) ? readdirSync(target).filter((file) => file.endsWith(".json")) : [];
  const differing = [...new Set([...wanted.keys(), ...present])].filter(
    (file) => !present.includes(file) || readFileSync(join(target, file), "utf8") !== wanted.get(file),
  );
  if (differing.length > 0) {
    console.error(`artifacts that do not match the sources: ${differing.join(", ")}\nrun: npm run build`);
    process.exit(1);
  }
  console.log(`${wanted.size} artifacts match the sources`);
} else {
  mkdirSync(target, { recursive: true });
  for (const [file, content] of wanted) writeFileSync(join(target, file), content);
  console.log(`${wanted.size} artifacts written to ${relative(process.cwd(), target)}`);
}
