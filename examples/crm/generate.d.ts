export interface GenerateOptions {
  /** Documents to make; 20,000 by default. */
  count?: number;
  seed?: number;
  /** How many of them the example migration has to reject; 0 by default. */
  broken?: number;
}

/** Customers of a legacy CRM; the same seed gives the same bytes. */
export function generateCustomers(options?: GenerateOptions): Generator<Record<string, unknown>, void, undefined>;
