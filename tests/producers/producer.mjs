// Inserts jobs with nothing but the pg package, and prints what it was told. Where to connect says the environment
// (PGHOST, PGDATABASE, ...); what to make keys of, and which job of Python's holds one, the first argument.

import pg from "pg";
import { canonical, uniqueKey } from "./unique_key.mjs";

const given = JSON.parse(process.argv[2]);
const told = {};
const client = new pg.Client();
await client.connect();

async function insert(kind, args, { key = null, opts = {} } = {}) {
  const sql = "select * from awa.insert_job(kind => $1, args => $2, unique_key => $3, opts => $4)";
  const { rows } = await client.query(sql, [kind, args, key, opts]);
  return rows[0];
}

async function refusal(work) {
  try {
    await work();
  } catch (error) {
    const { code, constraint, detail, message } = error;
    return { code, constraint, detail, message };
  }
  return null;
}

told.version = (await client.query("select awa.contract_version() as version")).rows[0].version;
told.keys = given.args.map((args) => [canonical(args), uniqueKey("k", { args }).toString("hex")]);
told.parts = uniqueKey("k", { queue: "q", args: {}, period: -1 }).toString("hex");

told.plain = await insert("greet", { name: "Hine" });
told.delayed = await insert("greet", { name: "later" }, { opts: { delay_s: 3600, timeout_ms: 1500 } });
told.refused = await refusal(() => insert("", {}));

// A key that a job of this program holds, and one that a job of Python's holds.
told.unique = await insert("charge", given.mine, { key: uniqueKey("charge", { args: given.mine }) });
const theirs = uniqueKey("charge", { args: given.theirs });
told.conflict = await refusal(() => insert("charge", given.theirs, { key: theirs }));
told.skipped = await insert("charge", given.theirs, { key: theirs, opts: { on_conflict: "skip" } });

// Together with rows of the application, or not at all.
await client.query("begin");
told.rolledBack = await insert("greet", { name: "nobody" }, { key: uniqueKey("greet") });
await client.query("rollback");
await client.query("begin");
told.committed = await insert("greet", { name: "Tama" }, { key: uniqueKey("greet") });
await client.query("commit");

// A conflict fails the transaction it happens in; a savepoint keeps the rest of it.
await client.query("begin");
await insert("greet", { name: "Kiri" });
await client.query("savepoint before_charge");
told.conflictInside = await refusal(() => insert("charge", given.theirs, { key: theirs }));
await client.query("rollback to savepoint before_charge");
await client.query("commit");

const many = [
  { kind: "greet", args: { name: "one" } },
  { kind: "charge", args: given.theirs, unique_key: theirs.toString("hex") },
  { kind: "greet", args: { name: "two" }, priority: 1, tags: ["bulk"] },
];
told.many = (await client.query("select pos, id from awa.insert_jobs($1)", [JSON.stringify(many)])).rows;

await client.end();
console.log(JSON.stringify(told));
