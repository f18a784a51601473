// Unique keys as docs/reference/unique-keys.md describes them.

import { blake3 } from "@noble/hashes/blake3";

const NUL = Buffer.from([0]);
const ESCAPES = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" };

/** The 16 bytes by which equal jobs are known; what is left out plays no part in them. */
export function uniqueKey(kind, { queue, args, period } = {}) {
  const parts = [Buffer.from(kind)];
  if (queue !== undefined) parts.push(NUL, Buffer.from(queue));
  if (args !== undefined) parts.push(NUL, Buffer.from(canonical(args)));
  if (period !== undefined) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(period));
    parts.push(NUL, bytes);
  }
  return Buffer.from(blake3(Buffer.concat(parts), { dkLen: 16 }));
}

/** Canonical JSON. Of numbers only integers: JavaScript cannot tell 1.0 from 1. */
export function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return text(value);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object") {
    const keys = Object.keys(value).sort(byCodePoint);
    return `{${keys.map((key) => `${text(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  throw new TypeError(`no part of a unique key can be made of ${String(value)}`);
}

// JSON.stringify also escapes lone surrogates, which no job may hold.
function text(value) {
  const escaped = value.replace(/[\u0000-\u001f"\\]/g, (character) => {
    return ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

// The order of UTF-8; that of sort() alone is by UTF-16 unit.
function byCodePoint(one, other) {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
