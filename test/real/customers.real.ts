import { inject, test } from 'vitest';
import { expectAccountsReferred, expectCustomersThereAndBack } from '../support/bank.js';
import { useScratch } from '../support/scratch.js';
import { readLines } from './sample-data.js';

const scratch = useScratch('real', () => inject('mongoUri'));
const bank = { customers: readLines('customers.json'), accounts: readLines('accounts.json') };

test('real customers are dry-run, migrated, verified, and brought back byte for byte', () =>
  expectCustomersThereAndBack(scratch.make(), bank));

test('their account numbers become _ids of the accounts; a number of two accounts is left and listed', () =>
  expectAccountsReferred(scratch.make(), bank));
