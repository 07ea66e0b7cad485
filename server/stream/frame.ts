/** Websocket frames as bytes (RFC 6455 §5.2): made once per message and written as they are to every socket. */

/** A final text frame, unmasked as a server's frames are. */
const FINAL_TEXT = 0x81

/** A whole text message as one frame. */
export function textFrame(payload: string): Buffer {
  const length = Buffer.byteLength(payload)
  const header = headerLength(length)
  const frame = Buffer.allocUnsafeSlow(header + length)
  writeHeader(frame, length)
  frame.write(payload, header)
  return frame
}

/** The header of a text frame whose payload of `length` bytes is written after it. */
export function textFrameHeader(length: number): Buffer {
  const header = Buffer.allocUnsafeSlow(headerLength(length))
  writeHeader(header, length)
  return header
}

function headerLength(length: number): number {
  if (length < 126) return 2
  return length < 65_536 ? 4 : 10
}

function writeHeader(frame: Buffer, length: number): void {
  frame[0] = FINAL_TEXT
  if (length < 126) {
    frame[1] = length
  } else if (length < 65_536) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
}
