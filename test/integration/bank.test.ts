/** Five hundred customers as old applications leave them, with values of every type that drivers lose. */
import type { Document } from 'mongodb';
import { expect, inject, test } from 'vitest';
import { expectAccountsReferred, expectCustomersThereAndBack } from '../support/bank.js';
import { bytesOf, generateBank } from '../support/customer-documents.js';
import { useScratch } from '../support/scratch.js';

const scratch = useScratch('bank', () => inject('mongoUri'));

test(
  "the bank's customers are dry-run, migrated, verified, and brought back byte for byte",
  {
    tags: ['F44', 'F45', 'P1', 'P6', 'P7'],
  },
  () => expectCustomersThereAndBack(scratch.make(), generateBank()),
);

test('their account numbers become _ids of the accounts; a number of two accounts is left and listed', () =>
  expectAccountsReferred(scratch.make(), generateBank()));

test('they are the same bytes each time, of the shape that the other tests count on', () => {
  const { customers, accounts } = generateBank();
  const all = (documents: readonly Document[]): Buffer => Buffer.concat(documents.map(bytesOf));
  const again = generateBank();
  expect(all(again.customers).equals(all(customers)) && all(again.accounts).equals(all(accounts))).toBe(true);
  expect(customers.length).toBe(500);
  expect(new Set(accounts.map(({ account_id }) => Number(account_id))).size).toBe(accounts.length - 1);
  expect(customers.filter(({ birthdate }) => birthdate < new Date(0)).length).toBeGreaterThan(100);
  expect(customers.filter(({ active }) => active === true).length).toBeLessThan(10);
  expect(customers.every(({ address }) => String(address).includes('\n'))).toBe(true);
});
