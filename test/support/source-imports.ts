import { readdir, readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import ts from 'typescript';
import { packageRoot } from '../../src/dev/package-root.js';

export interface SourceImport {
  /** Path below `src`, or the module's name when it is not ours. */
  target: string;
  ours: boolean;
  /** Gone after compiling. */
  typeOnly: boolean;
}

export interface SourceFile {
  /** Path below `src`, with `/`. */
  path: string;
  lines: number;
  imports: SourceImport[];
  readsEnvironment: boolean;
}

/** Every TypeScript file below `src` with what it imports. */
export async function readSources(): Promise<SourceFile[]> {
  const root = join(packageRoot, 'src');
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.ts'));
  return Promise.all(
    names.sort().map(async (name) => {
      const path = name.replaceAll('\\', '/');
      const text = await readFile(join(root, name), 'utf8');
      return inspectSource(path, text);
    }),
  );
}

/** What one source text imports and whether it looks at the process's environment. */
export function inspectSource(path: string, text: string): SourceFile {
  const imports: SourceImport[] = [];
  let readsEnvironment = false;
  const add = (module: ts.Node | undefined, typeOnly: boolean) => {
    if (module && ts.isStringLiteralLike(module)) imports.push(resolveImport(path, module.text, typeOnly));
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeImport(node));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node)) add(literalOf(node.argument), true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
    if (isEnvironment(node)) readsEnvironment = true;
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true));
  return { path, lines: text.trimEnd().split('\n').length, imports, readsEnvironment };
}

function resolveImport(from: string, module: string, typeOnly: boolean): SourceImport {
  if (!module.startsWith('.')) return { target: module, ours: false, typeOnly };
  const target = posix.join(posix.dirname(from), module).replace(/\.js$/, '.ts');
  return { target, ours: true, typeOnly };
}

/** `import type …`, or an import whose every name is marked `type`: both leave nothing to load. */
function isTypeImport({ importClause }: ts.ImportDeclaration): boolean {
  if (!importClause) return false;
  if (importClause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const { name, namedBindings } = importClause;
  if (name || !namedBindings || !ts.isNamedImports(namedBindings)) return false;
  return namedBindings.elements.length > 0 && namedBindings.elements.every(({ isTypeOnly }) => isTypeOnly);
}

const literalOf = (node: ts.TypeNode) => (ts.isLiteralTypeNode(node) ? node.literal : undefined);

/** `process.env`, `process['env']`, `const { env } = process` and `import { env } from 'node:process'`. */
function isEnvironment(node: ts.Node): boolean {
  const isProcess = (each: ts.Node | undefined) => each && ts.isIdentifier(each) && each.text === 'process';
  if (ts.isPropertyAccessExpression(node)) return !!isProcess(node.expression) && node.name.text === 'env';
  if (ts.isElementAccessExpression(node)) return !!isProcess(node.expression);
  if (ts.isVariableDeclaration(node) && isProcess(node.initializer))
    return ts.isObjectBindingPattern(node.name) && node.name.elements.some(bindsEnvironment);
  return ts.isImportDeclaration(node) && /^'(node:)?process'$/.test(node.moduleSpecifier.getText());
}

const bindsEnvironment = ({ propertyName, name }: ts.BindingElement) =>
  (propertyName ?? name).getText() === 'env';
