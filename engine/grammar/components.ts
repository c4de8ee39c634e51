/** Strongly connected components of a graph (Tarjan, "Depth-first search and linear graph algorithms", 1972). */

/**
 * @param roots where the search begins
 * @param next returns the successors of a node
 * @returns the components that can be reached, each after all components that it leads to
 */
export function components<T>(roots: Iterable<T>, next: (node: T) => Iterable<T>): T[][] {
  const result: T[][] = [];
  const places = new Map<T, { readonly index: number; low: number; isOpen: boolean }>();
  const open: T[] = [];
  for (const root of roots) {
    if (places.has(root)) continue;
    // A stack replaces recursion, which could be as deep as the graph is long.
    const path: { readonly node: T; readonly successors: Iterator<T> }[] = [];
    const enter = (node: T): void => {
      places.set(node, { index: places.size, low: places.size, isOpen: true });
      open.push(node);
      path.push({ node, successors: next(node)[Symbol.iterator]() });
    };
    enter(root);
    while (path.length > 0) {
      const { node, successors } = path.at(-1)!;
      const place = places.get(node)!;
      const successor = successors.next();
      if (successor.done !== true) {
        const known = places.get(successor.value);
        if (known === undefined) enter(successor.value);
        else if (known.isOpen) place.low = Math.min(place.low, known.index);
        continue;
      }
      path.pop();
      const above = path.at(-1);
      if (above !== undefined) {
        const caller = places.get(above.node)!;
        caller.low = Math.min(caller.low, place.low);
      }
      if (place.low < place.index) continue;
      const component: T[] = [];
      for (let last = open.pop()!; ; last = open.pop()!) {
        places.get(last)!.isOpen = false;
        component.push(last);
        if (last === node) break;
      }
      result.push(component.reverse());
    }
  }
  return result;
}
