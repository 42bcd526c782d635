"""The fields of a sale, its lines and its shop on the wire, for the tool that wants a schema before it reads."""

from __future__ import annotations

from typing import Final

SALE: Final = (
    "archived balance calcAvgCost calcDiscount calcFIFOCost calcItemFees calcNonTaxable calcPayments calcSubtotal "
    "calcTax1 calcTax2 calcTaxable calcTips calcTotal change completed customerID discountID discountPercent "
    "displayableSubtotal displayableTotal employeeID enablePromotions isTaxInclusive quoteID receiptPreference "
    "referenceNumber referenceNumberSource registerID saleID shipToID shopID tax1Rate tax2Rate taxCategoryID taxTotal "
    "ticketNumber tipEmployeeID tipEnabled tippableAmount total totalDue voided createTime updatetime timeStamp "
    "completeTime"
)
LINE: Final = (
    "avgCost calcLineDiscount calcSubtotal calcTax1 calcTax2 calcTotal calcTransactionDiscount customerID "
    "discountAmount discountID discountPercent displayableSubtotal displayableUnitPrice employeeID fifoCost isLayaway "
    "isSpecialOrder isWorkorder itemFeeID itemID lineType normalUnitPrice noteID onCompletedTrans parentSaleLineID "
    "priceRuleID requireFullReservation saleID saleLineID shopID sortorder tax tax1Rate tax2Rate taxCategoryID "
    "taxClassID unitPrice unitQuantity createTime timeStamp"
)
SHOP: Final = (
    "archived ccGatewayID companyRegistrationNumber contactID gatewayConfigID labelMsrp labelTitle name "
    "networkHealthTool priceLevelID receiptSetupID serviceRate shopID taxCategoryID taxLabor timeStamp timeZone "
    "vatNumber vendorID zebraBrowserPrint"
)
