/** Documents of about 600 bytes: generated, or real ones multiplied, since generated text compresses too well. */
import { readFileSync } from 'node:fs';
import { EJSON, ObjectId } from 'bson';
import type { Document } from 'mongodb';
import { randomFrom } from '../test/support/crash.js';

const FIRST = ['Ana', 'Conor', 'Mei', 'Oluwaseun', 'Zofia', 'Yusuf', 'Lena', 'Tiago'];
const LAST = ['Lima', "O'Brien", 'Tanaka', 'Adeyemi', 'Kowalska', 'Demir', 'von Bergen', 'da Silva Costa'];
const WORDS = 'order paid open call mail lead contact annual renewal invoice quote region partner'.split(' ');

export type MakeDocument = (n: number) => Document;

const idOf = (n: number): ObjectId => new ObjectId(n.toString(16).padStart(24, '0'));

export function generated(seed = 1): MakeDocument {
  const random = randomFrom(seed);
  const pick = (from: readonly string[]): string => from[Math.floor(random() * from.length)] ?? '';
  const hex = (length: number): string => Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
  return (n) => ({
    _id: idOf(n),
    email: ` ${pick(FIRST)}.${hex(6)}@Example.TEST`,
    fullName: `${pick(FIRST)} ${pick(LAST)}`,
    phone: `+351 ${Math.floor(random() * 1e9)}`,
    createdAt: new Date(1_600_000_000_000 + Math.floor(random() * 1.5e11)),
    tags: [pick(WORDS), pick(WORDS)],
    address: { street: `${pick(WORDS)} ${Math.floor(random() * 300)}`, city: pick(LAST), zip: hex(5) },
    balance: Math.floor(random() * 1e6) / 100,
    notes: Array.from({ length: 28 }, () => pick(WORDS)).join(' '),
    token: hex(64),
  });
}

/** @param file Extended JSON, one document a line, with `name` and `email` */
export function multiplied(file: string): MakeDocument {
  const documents = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => EJSON.parse(line) as Document);
  return (n) => {
    const { _id, name, email, ...rest } = documents[n % documents.length] ?? {};
    return { _id: idOf(n), email: `${n}.${email}`.toUpperCase(), fullName: name, createdAt: new Date(n), ...rest };
  };
}
