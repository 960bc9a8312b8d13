/** The agent cannot do what it was asked. The message is for the operator; no stack is shown. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
}
