# The first guest as its original was built: its text lies 4111 bytes behind where the code looks.
#
# Shows    why a .org in another section is not an address
# Run      RunBiscuitOS.sh /usr/bin/firmware/original.bin | od -c | head
# Look for 4111 zero bytes before each line

	.set	ORIGINAL, 1
	.include "BiscuitOS-Virtual-Machine.S"
