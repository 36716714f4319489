/** A state machine as a table of allowed edges; whoever wants another edge has to write it down with its reason. */
export interface Edge<State extends string> {
  readonly from: State;
  readonly to: State;
  /** Why the edge exists. */
  readonly reason: string;
}

/** The edge from `from` to `to`, or undefined when the table has none. */
export function findEdge<State extends string>(
  edges: readonly Edge<State>[],
  from: State,
  to: State,
): Edge<State> | undefined {
  return edges.find((edge) => edge.from === from && edge.to === to);
}
