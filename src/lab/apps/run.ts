/** Entry of the lab's applications: `remora lab-app NAME VERSION HOST PORT`. */
export async function runApp(operands: readonly string[]): Promise<void> {
  const [name, version = '', host = '', port = '0'] = operands
  switch (name) {
    case 'http-echo':
      return (await import('./http-echo.ts')).startHttpEcho(version, Number(port), host)
    case 'grpc-echo':
      return (await import('./grpc-echo.ts')).startGrpcEcho(version, Number(port), host)
    case 'client':
      return (await import('./client.ts')).startClient()
    default:
      throw new Error(`no lab application "${name}"`)
  }
}
