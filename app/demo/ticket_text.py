"""The sample texts of the demo tickets: what customers report, by subject, and what the desk notes."""

from __future__ import annotations

#: Label of a subject as shipped -> what the customer said.
DESCRIPTIONS = {
    "KYC update": "Moved from a partnership to a salaried job and wants occupation and income range updated.",
    "Re-KYC": "Got the re-KYC reminder. The upload of the address proof stops at 80 %.",
    "Account opening status": "Sent all documents last week and asks when the account can be used.",
    "Account closure": "Wants to close the account; holds no shares any more. Asks for the form.",
    "Account reactivation": "Has not traded for over a year. The account is marked inactive; wants to trade again.",
    "Login problem": "Sees “invalid user” on the web since this morning. The app works.",
    "Password reset": "The reset link has expired before it was opened. Asks for a new one.",
    "Two-factor problem": "Changed the phone and lost the authenticator. Cannot sign in.",
    "Mobile number change": "The old SIM is lost. Wants the new number for OTPs; has the signed form.",
    "E-mail change": "Contract notes still go to the former employer's address.",
    "Address change": "Moved to Pune. Has the new Aadhaar with the changed address.",
    "Bank account change": "Wants pay-outs to a new bank account. Cancelled cheque is attached in the app.",
    "Nominee update": "Wants to add their daughter as second nominee with a share of 50 %.",
    "Pay-in not credited": "Paid ₹25,000 by UPI at 9:20. Debited at the bank, not in the ledger.",
    "Pay-out delay": "Asked for a pay-out on Tuesday. The bank has received nothing.",
    "Fund transfer": "Wants to move the balance from the commodity to the equity segment.",
    "Margin query": "Asks why the margin for a hedged options position went up on Friday.",
    "Margin shortfall": "Got a shortfall message although shares were pledged the day before.",
    "Brokerage and charges": "Was charged ₹40 for two lots and expected ₹20. Asks for the calculation.",
    "Contract note": "Did not receive the contract note of Monday.",
    "Ledger statement": "Needs the ledger of the last financial year, signed, for a loan.",
    "Profit and loss statement": "The short-term gains differ from the accountant's figures by ₹3,120.",
    "Tax statement": "Needs the tax statement for the return; the download is empty.",
    "DP charges": "Asks why DP charges were taken twice on the same day.",
    "DP holding mismatch": "The app shows 150 shares, the depository's statement 200 after the bonus.",
    "Off-market transfer": "Wants to give shares to the spouse and asks which form and which charges apply.",
    "Pledge and unpledge": "Unpledged shares yesterday. They are still blocked for selling.",
    "Corporate action": "Held the shares on the record date but got no dividend.",
    "IPO application": "The application shows “pending” although the mandate was approved.",
    "Mutual fund order": "The SIP of the 5th was not placed. The mandate is active.",
    "Order rejection": "A sell order was refused with “insufficient holdings” after a buy of the same day.",
    "Trade dispute": "Says that a stop-loss was executed far below its price. Asks for the exchange's log.",
    "Segment activation": "Wants futures and options. Income proof is a bank statement of six months.",
    "Trading terminal problem": "The terminal freezes when the market opens. Two colleagues at the branch have it too.",
    "Mobile app problem": "Charts stay blank since the update. Android 14.",
    "General query": "Asks whether the branch is open this Saturday.",
}
#: What is said of any other subject.
OTHER_DESCRIPTION = "Called about this and asks for a call back with the answer."
NOTES = (
    "Checked the ledger: the entry is there, the app had not been refreshed.",
    "Asked the back office. They answer by tomorrow noon.",
    "Customer will send the signed form from the branch.",
    "Needs the approval of operations; mailed them with the screenshots.",
    "Tried to call back twice in the afternoon, then wrote on WhatsApp.",
    "Same problem as last month. The cause is on our side, so no charge.",
    "ग्राहक ने कल सुबह फिर कॉल करने को कहा।",
    "Explained the calculation line by line. They want it by email as well.",
)
