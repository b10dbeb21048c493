import ts from 'typescript';

export interface SourceFunction {
  name: string;
  /** Lines from its first word to its end, without the comment before. */
  lines: number;
  /** Variables of its own that change and that functions inside it use. */
  shared: string[];
}

interface Scope {
  found: SourceFunction;
  /** Names that it declares; true: one that may change. */
  names: Map<string, boolean>;
  around: Scope | null;
}

/** The functions of a source text, methods and constructors included, with what their closures share. */
export function functionsIn(path: string, text: string): SourceFunction[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const functions: SourceFunction[] = [];
  const lineAt = (position: number) => source.getLineAndCharacterOfPosition(position).line;
  const enter = (node: ts.SignatureDeclaration, around: Scope | null): Scope => {
    const lines = lineAt(node.getEnd()) - lineAt(node.getStart(source)) + 1;
    const found = { name: nameOf(node), lines, shared: [] };
    functions.push(found);
    const names = new Map<string, boolean>();
    node.forEachChild((child) => collect(child, names));
    return { found, names, around };
  };
  const visit = (node: ts.Node, scope: Scope | null): void => {
    const inside = isFunction(node) ? enter(node, scope) : scope;
    if (ts.isIdentifier(node) && scope && isUse(node)) note(node.text, scope);
    node.forEachChild((child) => visit(child, inside));
  };
  visit(source, null);
  return functions;
}

function note(name: string, scope: Scope): void {
  for (let at: Scope | null = scope; at; at = at.around) {
    const mayChange = at.names.get(name);
    if (mayChange === undefined) continue;
    const { shared } = at.found;
    if (mayChange && at !== scope && !shared.includes(name)) shared.push(name);
    return;
  }
}

/** The names that a function declares itself, whatever the block. */
function collect(node: ts.Node, names: Map<string, boolean>): void {
  if (ts.isFunctionDeclaration(node) && node.name) names.set(node.name.text, false);
  if (isFunction(node)) return;
  if (ts.isParameter(node) || ts.isVariableDeclaration(node)) {
    const mayChange =
      ts.isVariableDeclaration(node) && (ts.getCombinedNodeFlags(node) & ts.NodeFlags.Let) !== 0;
    for (const name of boundIn(node.name)) names.set(name, mayChange);
  }
  node.forEachChild((child) => collect(child, names));
}

const boundIn = (name: ts.BindingName): string[] =>
  ts.isIdentifier(name)
    ? [name.text]
    : name.elements.flatMap((each) => (ts.isBindingElement(each) ? boundIn(each.name) : []));

const isFunction = (node: ts.Node): node is ts.SignatureDeclaration =>
  (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) || ts.isArrowFunction(node);

/** Not the name of a property. */
function isUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node;
  const isMember =
    ts.isPropertyAccessExpression(parent) ||
    ts.isPropertyAssignment(parent) ||
    ts.isTypeElement(parent) ||
    ts.isClassElement(parent);
  return !isMember || parent.name !== node;
}

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name) return node.name.getText();
  if (ts.isConstructorDeclaration(node)) return 'constructor';
  const { parent } = node;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText();
  return 'a function';
}
